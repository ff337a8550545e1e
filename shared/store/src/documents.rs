//! Documents and their versions.

use chrono::{DateTime, Utc};
use gristmill_core::ids::{DocumentId, JobId, VersionId};
use sea_orm::{FromQueryResult, Value};
use serde_json::Value as Json;

use crate::{
    addresses,
    db::{OrgTx, Tx, sql},
    erasure,
    error::Result,
    page::Page,
};

/// A document with the version that was made last.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// What its owner's system calls it.
    pub external_id: Option<String>,
    /// Its title: as given, else as found in it.
    pub title: Option<String>,
    /// Its owner's labels.
    pub tags: Vec<String>,
    /// Its category.
    pub category: Option<String>,
    /// The engagement it belongs to.
    pub engagement: Option<String>,
    /// Whatever else its owner wants to keep with it.
    pub meta: Json,
    /// The version that was made last.
    pub version_id: VersionId,
    /// The version that search uses; another than `version_id` while a new one is being made.
    pub current_version_id: Option<VersionId>,
    /// That version's number, from 1.
    pub version: i32,
    /// `pending`, `ready` or `failed`.
    pub status: String,
    /// The job that makes or made it.
    pub job_id: JobId,
    /// Where it came from.
    pub source: Json,
    /// SHA-256 of its bytes, once they are here.
    pub file_sha256: Option<Vec<u8>>,
    /// How many bytes.
    pub file_bytes: Option<i64>,
    /// What they turned out to be.
    pub media_type: Option<String>,
    /// ISO 639-1.
    pub language: Option<String>,
    /// Pages, where it has such.
    pub page_count: Option<i32>,
    /// Length of the extracted text.
    pub char_count: Option<i32>,
    /// How many chunks it was cut into.
    pub chunk_count: Option<i32>,
    /// What could not be read though the rest could.
    pub warnings: Json,
    /// Why the version failed: `{code, message}`.
    pub error: Option<Json>,
    /// When the document was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When the version became ready.
    pub ready_at: Option<DateTime<Utc>>,
}

const SELECT: &str = "SELECT d.id, d.external_id, d.title, d.tags, d.category, d.engagement, d.meta, v.id AS version_id, \
    d.current_version_id, v.number AS version, v.status, v.job_id, v.source, v.file_sha256, v.file_bytes, v.media_type, \
    v.language, v.page_count, v.char_count, v.chunk_count, v.warnings, v.error, d.created_at, d.updated_at, v.ready_at \
    FROM documents d JOIN document_versions v ON v.id = d.latest_version_id";

/// What is known of a document when it is handed in.
#[derive(Debug, Clone, Default)]
pub struct NewDocument {
    /// What its owner's system calls it.
    pub external_id: Option<String>,
    /// Its title, if the owner gives one.
    pub title: Option<String>,
    /// Its owner's labels.
    pub tags: Vec<String>,
    /// Its category.
    pub category: Option<String>,
    /// The engagement it belongs to.
    pub engagement: Option<String>,
    /// Whatever else its owner wants to keep with it; an object.
    pub meta: Option<Json>,
    /// Where it comes from: `{"type": "upload" | "text" | "url" | "feed", …}`.
    pub source: Json,
    /// Its bytes, where they are here already.
    pub file: Option<FileRef>,
}

/// Bytes in the file store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRef {
    /// SHA-256 of them.
    pub sha256: Vec<u8>,
    /// How many.
    pub bytes: i64,
}

/// What handing a document in came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// A version was made, to be filled by the job whose id was given.
    Made {
        /// The document.
        document: DocumentId,
        /// Its new version.
        version: VersionId,
    },
    /// The organization has just these bytes in this place already.
    Unchanged(DocumentId),
}

/// Hands a document in: makes it, or a new version of the one with the same `external_id` (or, where none is given,
/// with the same bytes or handed in by the same address), or nothing when nothing changed: the bytes are the same, or the
/// address is about to be fetched anyway. `job` is the job that will fill the version.
///
/// # Errors
/// When the database cannot be asked.
pub async fn put(tx: &OrgTx, new: &NewDocument, job: JobId) -> Result<Put> {
    if let Some(file) = &new.file {
        erasure::hold_file(tx, &file.sha256).await?;
    }
    let Some(known) = same(tx, new).await? else {
        return create(tx, new, job).await;
    };
    let unchanged = match &new.file {
        Some(file) => known.status != "failed" && known.file_sha256.as_ref() == Some(&file.sha256),
        None => new.external_id.is_none() && known.status == "pending",
    };
    if unchanged {
        describe(tx, known.id, new).await?;
        return Ok(Put::Unchanged(known.id));
    }
    let version = VersionId::generate();
    insert_version(tx, known.id, version, new, job).await?;
    addresses::hand_in(tx, known.id, &new.source).await?;
    describe(tx, known.id, new).await?;
    let statement = "UPDATE documents SET latest_version_id = $3, updated_at = now() WHERE id = $1 AND org_id = $2";
    tx.execute(sql(statement, [known.id.into(), tx.org().into(), version.into()])).await?;
    Ok(Put::Made { document: known.id, version })
}

/// Keeps what is said anew of a document; what is not said stays as it was.
async fn describe(tx: &OrgTx, id: DocumentId, new: &NewDocument) -> Result<()> {
    let NewDocument { title, tags, category, engagement, meta, external_id: _, source: _, file: _ } = new;
    if title.is_none() && tags.is_empty() && category.is_none() && engagement.is_none() && meta.is_none() {
        return Ok(());
    }
    tx.execute(sql(
        "UPDATE documents SET updated_at = now(), title = coalesce($3, title),
             tags = CASE WHEN cardinality($4::text[]) > 0 THEN $4 ELSE tags END, category = coalesce($5, category),
             engagement = coalesce($6, engagement), meta = coalesce($7, meta)
         WHERE id = $1 AND org_id = $2",
        [
            id.into(),
            tx.org().into(),
            title.clone().into(),
            tags.clone().into(),
            category.clone().into(),
            engagement.clone().into(),
            meta.clone().into(),
        ],
    ))
    .await?;
    Ok(())
}

/// The document that `new` is the same as, locked until the transaction ends.
async fn same(tx: &OrgTx, new: &NewDocument) -> Result<Option<Document>> {
    let address = addresses::of_source(&new.source);
    let (condition, value): (&str, Value) = match (&new.external_id, &new.file, address) {
        (Some(external_id), _, _) => ("d.external_id = $2", external_id.clone().into()),
        (None, Some(file), _) => ("d.external_id IS NULL AND v.file_sha256 = $2", file.sha256.clone().into()),
        (None, None, Some(address)) => (
            "d.external_id IS NULL AND d.id IN (SELECT a.document_id FROM document_addresses a
                 WHERE a.org_id = $1 AND a.address = sha256(convert_to($2, 'UTF8')) AND a.handed_in)",
            address.into(),
        ),
        (None, None, None) => return Ok(None),
    };
    // Two requests that hand in the same new document at once must not both find nothing.
    let name = match (&new.external_id, &new.file) {
        (Some(external_id), _) => external_id.clone(),
        (None, Some(file)) => format!("{:?}", Some(&file.sha256)),
        (None, None) => address.unwrap_or_default().to_owned(),
    };
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))";
    tx.execute(sql(lock, [format!("document {} {name}", tx.org()).into()])).await?;
    let statement = format!(
        "{SELECT} WHERE d.org_id = $1 AND d.deleted_at IS NULL AND {condition} ORDER BY d.id LIMIT 1 FOR NO KEY UPDATE OF d"
    );
    tx.one(sql(&statement, [tx.org().into(), value])).await
}

async fn create(tx: &OrgTx, new: &NewDocument, job: JobId) -> Result<Put> {
    let (document, version) = (DocumentId::generate(), VersionId::generate());
    tx.execute(sql(
        "INSERT INTO documents (id, org_id, external_id, title, tags, category, engagement, meta, latest_version_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, '{}'), $9)",
        [
            document.into(),
            tx.org().into(),
            new.external_id.clone().into(),
            new.title.clone().into(),
            new.tags.clone().into(),
            new.category.clone().into(),
            new.engagement.clone().into(),
            new.meta.clone().into(),
            version.into(),
        ],
    ))
    .await?;
    insert_version(tx, document, version, new, job).await?;
    addresses::hand_in(tx, document, &new.source).await?;
    Ok(Put::Made { document, version })
}

async fn insert_version(
    tx: &OrgTx,
    document: DocumentId,
    version: VersionId,
    new: &NewDocument,
    job: JobId,
) -> Result<()> {
    tx.execute(sql(
        "INSERT INTO document_versions (id, org_id, document_id, number, status, job_id, source, file_sha256, file_bytes)
         SELECT $1, $2, $3, coalesce(max(number), 0) + 1, 'pending', $4, $5, $6, $7
           FROM document_versions WHERE document_id = $3 AND org_id = $2",
        [
            version.into(),
            tx.org().into(),
            document.into(),
            job.into(),
            new.source.clone().into(),
            new.file.as_ref().map(|file| file.sha256.clone()).into(),
            new.file.as_ref().map(|file| file.bytes).into(),
        ],
    ))
    .await?;
    Ok(())
}

/// The organization's document `id`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn find(tx: &OrgTx, id: DocumentId) -> Result<Option<Document>> {
    let statement = format!("{SELECT} WHERE d.id = $1 AND d.org_id = $2 AND d.deleted_at IS NULL");
    tx.one(sql(&statement, [id.into(), tx.org().into()])).await
}

/// What an ingest needs to know of a version.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Version {
    /// The document it is of.
    pub document_id: DocumentId,
    /// Where it comes from.
    pub source: Json,
    /// SHA-256 of its bytes, where they are here.
    pub file_sha256: Option<Vec<u8>>,
    /// `pending`, `ready` or `failed`.
    pub status: String,
    /// The job that is to fill it.
    pub job_id: JobId,
}

/// The organization's version `id`, if its document is not deleted.
///
/// # Errors
/// When the database cannot be asked.
pub async fn version(tx: &OrgTx, id: VersionId) -> Result<Option<Version>> {
    let statement = "SELECT v.document_id, v.source, v.file_sha256, v.status, v.job_id FROM document_versions v
        JOIN documents d ON d.id = v.document_id WHERE v.id = $1 AND v.org_id = $2 AND d.deleted_at IS NULL";
    tx.one(sql(statement, [id.into(), tx.org().into()])).await
}

/// Which documents of a list are wanted; what is not set does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state.
    pub status: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Of this category.
    pub category: Option<String>,
    /// Of this engagement.
    pub engagement: Option<String>,
    /// That its owner's system calls this.
    pub external_id: Option<String>,
}

/// A page of the organization's documents, newest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, filter: &Filter, page: Page) -> Result<Vec<Document>> {
    let statement = format!(
        "{SELECT} WHERE d.org_id = $1 AND d.id < $2 AND d.deleted_at IS NULL
             AND ($3::text IS NULL OR v.status = $3) AND ($4::text IS NULL OR $4 = ANY(d.tags))
             AND ($5::text IS NULL OR d.category = $5) AND ($6::text IS NULL OR d.engagement = $6)
             AND ($7::text IS NULL OR d.external_id = $7)
         ORDER BY d.id DESC LIMIT $8"
    );
    let values = [
        tx.org().into(),
        page.before().into(),
        filter.status.clone().into(),
        filter.tag.clone().into(),
        filter.category.clone().into(),
        filter.engagement.clone().into(),
        filter.external_id.clone().into(),
        page.fetch().into(),
    ];
    tx.all(sql(&statement, values)).await
}

/// The text that was extracted from the document's current version, if it has one.
///
/// # Errors
/// When the database cannot be asked.
pub async fn text(tx: &OrgTx, id: DocumentId) -> Result<Option<String>> {
    #[derive(FromQueryResult)]
    struct Row {
        text: Option<String>,
    }
    let statement = "SELECT v.text FROM documents d JOIN document_versions v ON v.id = d.current_version_id
        WHERE d.id = $1 AND d.org_id = $2 AND d.deleted_at IS NULL";
    Ok(tx.one::<Row>(sql(statement, [id.into(), tx.org().into()])).await?.and_then(|row| row.text))
}

/// Takes the document out of lists and search, for good measure without erasing it. False when there is none.
///
/// # Errors
/// When the database cannot be asked.
pub async fn delete(tx: &OrgTx, id: DocumentId) -> Result<bool> {
    let statement = "UPDATE documents SET deleted_at = now() WHERE id = $1 AND org_id = $2 AND deleted_at IS NULL";
    Ok(tx.execute(sql(statement, [id.into(), tx.org().into()])).await? == 1)
}

/// What ingesting a version found out.
#[derive(Debug, Clone, Default)]
pub struct Ingested {
    /// The title found in it, used where the owner gave none.
    pub title: Option<String>,
    /// Its bytes.
    pub file: Option<FileRef>,
    /// What they turned out to be.
    pub media_type: String,
    /// The extracted text.
    pub text: String,
    /// ISO 639-1.
    pub language: Option<String>,
    /// Pages, where it has such.
    pub page_count: Option<i32>,
    /// How many chunks it was cut into.
    pub chunk_count: i32,
    /// What could not be read though the rest could.
    pub warnings: Json,
}

/// Marks `version` ready and lets search use it instead of the one before, whose chunks go. Call it in the
/// transaction that wrote the version's chunks. Does nothing when a later version is current already.
///
/// # Errors
/// When the database cannot be asked.
pub async fn ready(tx: &OrgTx, document: DocumentId, version: VersionId, found: &Ingested) -> Result<()> {
    let char_count = i32::try_from(found.text.chars().count()).unwrap_or(i32::MAX);
    tx.execute(sql(
        "UPDATE document_versions SET status = 'ready', ready_at = now(), error = NULL, file_sha256 = coalesce($3, file_sha256),
             file_bytes = coalesce($4, file_bytes), media_type = $5, text = $6, language = $7, page_count = $8,
             char_count = $9, chunk_count = $10, warnings = $11
         WHERE id = $1 AND org_id = $2",
        [
            version.into(),
            tx.org().into(),
            found.file.as_ref().map(|file| file.sha256.clone()).into(),
            found.file.as_ref().map(|file| file.bytes).into(),
            found.media_type.clone().into(),
            found.text.clone().into(),
            found.language.clone().into(),
            found.page_count.into(),
            char_count.into(),
            found.chunk_count.into(),
            found.warnings.clone().into(),
        ],
    ))
    .await?;
    // By number, not by id: ids are made by the clocks of several machines. A slow job of an old version cannot push a
    // newer one aside.
    let flipped = tx
        .execute(sql(
            "UPDATE documents SET current_version_id = $3, title = coalesce(title, $4), updated_at = now()
             WHERE id = $1 AND org_id = $2 AND NOT EXISTS (
                 SELECT 1 FROM document_versions newer, document_versions this
                 WHERE newer.id = current_version_id AND this.id = $3 AND newer.number > this.number)",
            [document.into(), tx.org().into(), version.into(), found.title.clone().into()],
        ))
        .await?;
    let stale = if flipped == 1 { "version_id <> $3" } else { "version_id = $3" };
    let statement = format!("DELETE FROM chunks WHERE document_id = $1 AND org_id = $2 AND {stale}");
    tx.execute(sql(&statement, [document.into(), tx.org().into(), version.into()])).await?;
    Ok(())
}
