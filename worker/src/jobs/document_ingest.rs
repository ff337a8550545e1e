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
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use url::Url;

use super::errors;
use crate::{Ctx, Services};

/// The largest file that is read: more would not fit into memory beside its neighbours.
const MOST_BYTES: u64 = 1 << 30;
/// Chunks per call of the embedding model.
const EMBED_BATCH: usize = 64;

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
        let rows = embed(ctx, cut).await?;
        ctx.progress(rows.len() as u64, rows.len() as u64, "index");

        let mut found = found(&extracted, file, rows.len())?;
        found.title = found.title.or(file_name);
        let model = ctx.embedder.model();
        let report = IngestReport {
            document_id: self.document_id,
            media_type: found.media_type.clone(),
            pages: extracted.metadata.page_count,
            chars: extracted.text.chars().count(),
            chunks: rows.len(),
            embedding_model: model.to_owned(),
        };
        let place = fetched.map(|fetched| place(fetched, extracted.metadata.canonical_url.as_deref()));
        ctx.finish(async |tx| {
            if let Some(place) = &place {
                self.locate(tx, place, &mut found.warnings).await?;
            }
            let language = found.language.as_deref();
            chunks::insert(tx, self.document_id, self.version_id, model, language, &rows).await?;
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

async fn embed(ctx: &Ctx, cut: Vec<Chunk>) -> Result<Vec<NewChunk>, JobError> {
    let (total, mut rows) = (cut.len() as u64, Vec::with_capacity(cut.len()));
    let mut cut = cut.into_iter();
    loop {
        let batch: Vec<Chunk> = cut.by_ref().take(EMBED_BATCH).collect();
        if batch.is_empty() {
            return Ok(rows);
        }
        ctx.check()?;
        ctx.progress(rows.len() as u64, total, "embed");
        let texts: Vec<String> = batch.iter().map(embedded_text).collect();
        let vectors = ctx.embedder.embed(&texts).await.map_err(|error| errors::ai(&error))?;
        for (chunk, vector) in batch.into_iter().zip(vectors) {
            rows.push(row(chunk, vector)?);
        }
    }
}

/// A chunk is embedded with the headings it stands under: they often name what its sentences only refer to.
fn embedded_text(chunk: &Chunk) -> String {
    if chunk.heading_path.is_empty() {
        return chunk.text.clone();
    }
    format!("{}\n\n{}", chunk.heading_path.join(" › "), chunk.text)
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
