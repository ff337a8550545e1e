//! `/v1/documents`: documents and what is known of them.

pub mod content;
pub mod create;
mod upload;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::{DateTime, Utc};
use gristmill_core::ids::{DocumentId, JobId, VersionId};
use gristmill_engine::NewJob;
use gristmill_files::Sha256Digest;
use gristmill_store::{
    documents::{self, Document, Filter},
    erasure,
    keys::Scope,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Shared,
    auth::{Caller, Operate, Read},
    etag::tagged,
    observe::RequestId,
    params::{self, Id, List, Query},
    problem::ApiError,
};

/// The kind of job that erases files.
const ERASE: &str = "file.erase";
/// The kind of job that erases what is left of documents.
const ERASE_TRACES: &str = "document.erase";

/// A document with the version that was made last.
#[derive(Debug, Serialize, ToSchema)]
pub struct DocumentBody {
    /// Its id.
    #[schema(value_type = String, example = "doc_01kahpz9vefv5r5j3s9x2e6d7k")]
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
    /// Whatever else its owner keeps with it.
    pub meta: Value,
    /// Of the version that was made last: `pending`, `ready` or `failed`.
    #[schema(example = "ready")]
    pub status: String,
    /// How many versions it has; the number of the last one.
    pub versions: i32,
    /// The version that was made last.
    #[schema(value_type = String)]
    pub version_id: VersionId,
    /// The version that search uses; another than `version_id` while a new one is being made.
    #[schema(value_type = Option<String>)]
    pub current_version_id: Option<VersionId>,
    /// The job that makes or made the last version.
    #[schema(value_type = String)]
    pub job_id: JobId,
    /// Where it came from: `{"type": "upload" | "text" | "url" | "feed", …}`.
    pub source: Value,
    /// SHA-256 of its bytes in hexadecimal, once they are here.
    pub sha256: Option<String>,
    /// How many bytes.
    pub bytes: Option<i64>,
    /// What they turned out to be.
    #[schema(example = "application/pdf")]
    pub media_type: Option<String>,
    /// ISO 639-1.
    #[schema(example = "en")]
    pub language: Option<String>,
    /// Pages, where it has such.
    pub pages: Option<i32>,
    /// Length of the extracted text, in Unicode scalar values.
    pub chars: Option<i32>,
    /// How many chunks it was cut into.
    pub chunks: Option<i32>,
    /// What could not be read though the rest could.
    pub warnings: Value,
    /// Why the version failed: `{code, message}`.
    pub error: Option<Value>,
    /// When the document was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When the version became ready.
    pub ready_at: Option<DateTime<Utc>>,
}

impl From<Document> for DocumentBody {
    fn from(document: Document) -> Self {
        Self {
            id: document.id,
            external_id: document.external_id,
            title: document.title,
            tags: document.tags,
            category: document.category,
            engagement: document.engagement,
            meta: document.meta,
            status: document.status,
            versions: document.version,
            version_id: document.version_id,
            current_version_id: document.current_version_id,
            job_id: document.job_id,
            source: document.source,
            sha256: document.file_sha256.map(hex::encode),
            bytes: document.file_bytes,
            media_type: document.media_type,
            language: document.language,
            pages: document.page_count,
            chars: document.char_count,
            chunks: document.chunk_count,
            warnings: document.warnings,
            // The job says the cause behind it, to those who may operate.
            error: document.error.map(super::jobs::without_cause),
            created_at: document.created_at,
            updated_at: document.updated_at,
            ready_at: document.ready_at,
        }
    }
}

/// Which documents are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DocumentsQuery {
    /// In this state: `pending`, `ready` or `failed`.
    status: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// Of this category.
    category: Option<String>,
    /// Of this engagement.
    engagement: Option<String>,
    /// That its owner's system calls this.
    external_id: Option<String>,
    /// Rows per page, 1 to 200; 50 if not given.
    limit: Option<u64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List documents, newest first.
#[utoipa::path(get, path = "/v1/documents", tag = "Documents", params(DocumentsQuery),
    responses((status = 200, description = "A page of documents", body = List<DocumentBody>)))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Query(query): Query<DocumentsQuery>,
) -> Result<Json<List<DocumentBody>>, ApiError> {
    let page = params::page(query.limit, query.cursor.as_deref())?;
    if query.status.as_deref().is_some_and(|status| !["pending", "ready", "failed"].contains(&status)) {
        return Err(ApiError::field("status", "is pending, ready or failed"));
    }
    let filter = Filter {
        status: query.status,
        tag: query.tag,
        category: query.category,
        engagement: query.engagement,
        external_id: query.external_id,
    };
    let tx = app.engine.db().org(caller.org).await?;
    let rows = documents::list(&tx, &filter, page).await?;
    tx.commit().await?;
    Ok(Json(List::of(page, rows, |document| document.id.uuid())))
}

/// Look at a document.
#[utoipa::path(get, path = "/v1/documents/{id}", tag = "Documents",
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 200, description = "The document", body = DocumentBody,
                  headers(("etag", description = "Changes with the document"))),
              (status = 304, description = "It is as `If-None-Match` knows it")))]
pub(crate) async fn show(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<DocumentId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let document = documents::find(&tx, id).await?.ok_or(ApiError::NotFound("document"))?;
    tx.commit().await?;
    tagged(&headers, &DocumentBody::from(document))
}

/// How a document is deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// Erase it for good, with its versions, passages and vectors at once, and soon its files, its words in the index of
    /// search, and the jobs that were about it; needs the scope `admin`. It may have been deleted before.
    #[serde(default)]
    purge: bool,
}

/// Delete a document: out of lists and search, or, with `purge`, for good.
#[utoipa::path(delete, path = "/v1/documents/{id}", tag = "Documents",
    params(("id" = String, Path, description = "The document's id"), DeleteQuery),
    responses((status = 204, description = "It is deleted")))]
pub(crate) async fn delete(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Id(id): Id<DocumentId>,
    Query(query): Query<DeleteQuery>,
    request_id: RequestId,
) -> Result<StatusCode, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    if query.purge {
        caller.need(Scope::Admin)?;
        let files = erasure::purge(&tx, id).await?.ok_or(ApiError::NotFound("document"))?;
        // In the same transaction, so that no file is forgotten; a slow bucket keeps no caller waiting.
        for sha256 in files {
            let sha256 = digest(&sha256)?.to_string();
            let job =
                NewJob { request_id: Some(request_id.0.clone()), ..NewJob::new(ERASE, json!({ "sha256": sha256 })) };
            create::ours(ERASE, app.engine.submit(&tx, job).await)?;
        }
        let args = json!({ "erasure": erasure::note(&tx, id).await? });
        let job = NewJob { request_id: Some(request_id.0.clone()), ..NewJob::new(ERASE_TRACES, args) };
        create::ours(ERASE_TRACES, app.engine.submit(&tx, job).await)?;
    } else if !documents::delete(&tx, id).await? {
        return Err(ApiError::NotFound("document"));
    }
    tx.commit().await?;
    app.engine.nudge();
    Ok(StatusCode::NO_CONTENT)
}

/// A digest as the database keeps it.
fn digest(bytes: &[u8]) -> Result<Sha256Digest, ApiError> {
    let bytes: [u8; 32] =
        bytes.try_into().map_err(|_| ApiError::Internal("a stored digest has not 32 bytes".to_owned()))?;
    Ok(bytes.into())
}
