//! `document.ingest`: a document's bytes become text, chunks and embeddings that search finds.

use std::time::Duration;

use bytes::Bytes;
use gristmill_content::{Chunk, ChunkOptions, ExtractOptions, Extracted};
use gristmill_core::ids::{DocumentId, VersionId};
use gristmill_engine::{Job, JobError, Queue};
use gristmill_fetch::FetchRequest;
use gristmill_files::{Sha256Digest, StoredFile};
use gristmill_store::{
    OrgTx, addresses,
    chunks::{self, NewChunk},
    documents::{self, FileRef, Ingested, Version},
    spaces::{self, Kind, Space},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use url::Url;

use super::errors;
use crate::{
    Ctx, Services,
    embedding::{self, Wanted},
};

/// The largest file that is read: more would not fit into memory beside its neighbours.
const MOST_BYTES: u64 = 1 << 30;
/// Chunks up to which a version is written in the transaction that ends the job. What has more is written before, where
/// search does not see it yet: adding to an index of vectors takes some 10 ms each, and that transaction holds the job's row.
const AT_ONCE: usize = 200;

/// Reads a document version, cuts and embeds it, and lets search use it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestDocument {
    /// The document.
    pub document_id: DocumentId,
    /// The version to be filled.
    pub version_id: VersionId,
}

/// What became of a document.
#[derive(Debug, Serialize)]
pub struct IngestReport {
    document_id: DocumentId,
    media_type: String,
    pages: Option<u32>,
    chars: usize,
    chunks: usize,
    embedding_model: String,
}

/// A version's bytes, and what is said of them.
struct Source {
    bytes: Bytes,
    file: FileRef,
    options: ExtractOptions,
    /// The address that answered, where they were fetched for this.
    fetched: Option<Url>,
}

impl Job<Services> for IngestDocument {
    const KIND: &'static str = "document.ingest";
    const ABOUT: &'static str = "Reads a document, cuts it into chunks, embeds them and lets search use them.";
    const QUEUE: Queue = Queue::Ingest;
    const TIMEOUT: Duration = Duration::from_mins(30);

    type Output = IngestReport;

    async fn run(self, ctx: &Ctx) -> Result<IngestReport, JobError> {
        let tx = ctx.begin().await?;
        let version = documents::version(&tx, self.version_id).await?;
        tx.commit().await?;
        let gone = || JobError::permanent("document-gone", "The document was deleted before it could be read.");
        let version = version.ok_or_else(gone)?;
        self.check(ctx, &version)?;

        ctx.progress(0, 1, "fetch");
        let source = source(ctx, &version).await?;
        ctx.check()?;
        ctx.progress(0, 1, "extract");
        let (file, file_name) = (source.file.clone(), source.options.file_name.clone());
        let fetched = source.fetched.clone();
        let (extracted, cut) = read(ctx, source).await?;
        for warning in &extracted.warnings {
            ctx.log(warning.to_string());
        }
        let space = space(ctx).await?;
        let rows = embed(ctx, &space, self.document_id, cut).await?;
        ctx.progress(rows.len() as u64, rows.len() as u64, "index");

        let mut found = found(&extracted, file, rows.len())?;
        found.title = found.title.or(file_name);
        let report = IngestReport {
            document_id: self.document_id,
            media_type: found.media_type.clone(),
            pages: extracted.metadata.page_count,
            chars: extracted.text.chars().count(),
            chunks: rows.len(),
            embedding_model: space.model.clone(),
        };
        let place = fetched.map(|fetched| place(fetched, extracted.metadata.canonical_url.as_deref()));
        let language = found.language.clone();
        let language = language.as_deref();
        let ahead = rows.len() > AT_ONCE;
        if ahead {
            self.write_ahead(ctx, &space, language, &rows).await?;
        }
        ctx.finish(async |tx| {
            if let Some(place) = &place {
                self.locate(tx, place, &mut found.warnings).await?;
            }
            // Search must not turn to another space while this one is written to, nor have done so meanwhile.
            if spaces::hold_current(tx).await?.is_none_or(|current| current.id != space.id) {
                let why = "Search turned to another embedding model meanwhile.".to_owned();
                return Err(JobError::Snooze { wait: Duration::from_secs(1), why });
            }
            if ahead {
                self.check_ahead(tx, rows.len()).await?;
            } else {
                chunks::remove(tx, self.version_id).await?;
                chunks::insert(tx, self.document_id, self.version_id, space.id, language, &rows).await?;
            }
            documents::ready(tx, self.document_id, self.version_id, &found).await?;
            Ok(report)
        })
        .await
    }
}

impl IngestDocument {
    /// Anybody may submit a job with any arguments: only the job that was made for a version fills it.
    fn check(&self, ctx: &Ctx, version: &Version) -> Result<(), JobError> {
        if version.document_id == self.document_id && version.job_id == ctx.job_id() && version.status == "pending" {
            return Ok(());
        }
        let message = "This job was not made for this version; hand the document in by POST /v1/documents.";
        Err(JobError::permanent("version-not-ours", message))
    }

    /// Keeps where the page was found, and warns when the organization has it already.
    async fn locate(&self, tx: &OrgTx, place: &addresses::Found, warnings: &mut Json) -> Result<(), JobError> {
        let twin = addresses::locate(tx, self.document_id, self.version_id, place).await?;
        if let (Some(twin), Some(warnings)) = (twin, warnings.as_array_mut()) {
            let message = format!("The page is the same as that of {twin}: they share an address.");
            warnings.push(json!({ "code": "same-address", "message": message, "document_id": twin }));
        }
        Ok(())
    }

    /// Writes the version's chunks, in transactions of their own. What an earlier attempt left is written anew.
    async fn write_ahead(
        &self,
        ctx: &Ctx,
        space: &Space,
        language: Option<&str>,
        rows: &[NewChunk],
    ) -> Result<(), JobError> {
        let tx = ctx.begin().await?;
        chunks::remove(&tx, self.version_id).await?;
        tx.commit().await?;
        let mut written = 0;
        for rows_now in rows.chunks(AT_ONCE) {
            ctx.check()?;
            ctx.progress(written, rows.len() as u64, "index");
            let tx = ctx.begin().await?;
            chunks::insert(&tx, self.document_id, self.version_id, space.id, language, rows_now).await?;
            tx.commit().await?;
            written += rows_now.len() as u64;
        }
        Ok(())
    }

    /// Another attempt, whose process was thought dead, may have begun anew meanwhile.
    async fn check_ahead(&self, tx: &OrgTx, rows: usize) -> Result<(), JobError> {
        if usize::try_from(chunks::count(tx, self.version_id).await?).is_ok_and(|kept| kept == rows) {
            return Ok(());
        }
        Err(JobError::transient("chunks-missing", "Another attempt at the same version came in between."))
    }
}

/// The space that search uses, made for the model that serves where the organization has none.
async fn space(ctx: &Ctx) -> Result<Space, JobError> {
    let serving = ctx.embedders.serving();
    let kind = Kind {
        model: serving.model().to_owned(),
        dimensions: embedding::dimensions(serving.as_ref())?,
        chunker: i32::try_from(gristmill_content::CHUNKER_VERSION)?,
    };
    let tx = ctx.begin().await?;
    let space = spaces::current_or_first(&tx, &kind).await?;
    tx.commit().await?;
    Ok(space)
}

/// Where a page turned out to be. What it calls its canonical address counts if it is on the web.
fn place(fetched: Url, canonical: Option<&str>) -> addresses::Found {
    let canonical =
        canonical.and_then(|address| address.parse().ok()).filter(|url: &Url| url.scheme().starts_with("http"));
    addresses::Found { fetched: fetched.into(), canonical: canonical.map(Into::into) }
}

/// The version's bytes: from the file store, or fetched and put there.
async fn source(ctx: &Ctx, version: &Version) -> Result<Source, JobError> {
    let text = |name: &str| version.source.get(name).and_then(Json::as_str).map(str::to_owned);
    let mut options = ExtractOptions {
        declared: text("content_type").or_else(|| text("media_type")),
        file_name: text("file_name"),
        base_url: text("url").and_then(|url| url.parse().ok()),
        ..ExtractOptions::default()
    };
    let org = ctx.org().to_string();
    if let Some(sha256) = &version.file_sha256 {
        let bytes: [u8; 32] = sha256.as_slice().try_into()?;
        let sha256 = Sha256Digest::from(bytes);
        let bytes = ctx.files.read(&org, &sha256, MOST_BYTES).await.map_err(|error| errors::files(&error))?;
        let file = file_ref(&StoredFile { sha256, size_bytes: bytes.len() as u64 });
        return Ok(Source { bytes, file, options, fetched: None });
    }
    let url = options.base_url.clone();
    let url =
        url.ok_or_else(|| JobError::permanent("source-unknown", "The document has neither a file nor an address."))?;
    let request = FetchRequest { obey_robots: true, ..FetchRequest::new(url) };
    let fetched = ctx.unless_called_off(ctx.fetcher.get(&request)).await?.map_err(|error| errors::fetch(&error))?;
    let mut staged = ctx.files.stage(MOST_BYTES).await.map_err(|error| errors::files(&error))?;
    staged.write(fetched.body.clone()).await.map_err(|error| errors::files(&error))?;
    let stored = ctx.files.store(&org, staged).await.map_err(|error| errors::files(&error))?;
    options.declared = fetched.content_type;
    options.base_url = Some(fetched.url.clone());
    Ok(Source { bytes: fetched.body, file: file_ref(&stored), options, fetched: Some(fetched.url) })
}

fn file_ref(stored: &StoredFile) -> FileRef {
    FileRef { sha256: stored.sha256.as_bytes().to_vec(), bytes: i64::try_from(stored.size_bytes).unwrap_or(i64::MAX) }
}

/// Reads the bytes in a process of their own, which ends with the job, and cuts the text.
async fn read(ctx: &Ctx, source: Source) -> Result<(Extracted, Vec<Chunk>), JobError> {
    let reading = ctx.extractor.extract(&source.bytes, source.options);
    let extracted = ctx.unless_called_off(reading).await?.map_err(|error| errors::extractor(&error))?;
    // Cutting keeps a core busy: not on the threads that keep heartbeats going.
    let cutting = tokio::task::spawn_blocking(move || {
        let chunks = gristmill_content::chunk(&extracted, &ChunkOptions::default());
        (extracted, chunks)
    });
    Ok(cutting.await?)
}

async fn embed(ctx: &Ctx, space: &Space, document: DocumentId, cut: Vec<Chunk>) -> Result<Vec<NewChunk>, JobError> {
    let embedder = ctx.embedders.get(&space.model).ok_or_else(|| errors::model_gone(&space.model))?;
    let wanted: Vec<Wanted> = cut
        .iter()
        .map(|chunk| Wanted { document, text: embedding::embedded_text(&chunk.heading_path, &chunk.text) })
        .collect();
    let vectors = embedding::embed(ctx, embedder.as_ref(), &wanted).await?;
    cut.into_iter().zip(vectors).map(|(chunk, vector)| row(chunk, vector)).collect()
}

fn row(chunk: Chunk, embedding: Vec<f32>) -> Result<NewChunk, JobError> {
    Ok(NewChunk {
        ordinal: i32::try_from(chunk.ordinal)?,
        text: chunk.text,
        heading_path: chunk.heading_path,
        page_first: chunk.page_first.map(i32::try_from).transpose()?,
        page_last: chunk.page_last.map(i32::try_from).transpose()?,
        start_char: i32::try_from(chunk.start)?,
        end_char: i32::try_from(chunk.end)?,
        tokens: i32::try_from(chunk.tokens)?,
        hash: chunk.hash,
        embedding,
    })
}

fn found(extracted: &Extracted, file: FileRef, chunks: usize) -> Result<Ingested, JobError> {
    let warnings: Vec<Json> = extracted
        .warnings
        .iter()
        .map(|warning| json!({ "code": warning.code(), "message": warning.to_string() }))
        .collect();
    Ok(Ingested {
        title: extracted.metadata.title.clone(),
        file: Some(file),
        media_type: extracted.media_type.to_string(),
        text: extracted.text.clone(),
        language: extracted.metadata.language.clone(),
        page_count: extracted.metadata.page_count.map(i32::try_from).transpose()?,
        chunk_count: i32::try_from(chunks)?,
        warnings: warnings.into(),
    })
}
