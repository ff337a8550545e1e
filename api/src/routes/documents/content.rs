//! `/v1/documents/{id}/chunks`, `/text` and `/file`: what was made of a document, and its bytes.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use gristmill_core::ids::{ChunkId, DocumentId};
use gristmill_store::{
    OrgTx,
    chunks::{self, Chunk},
    documents::{self, Document},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::digest;
use crate::{
    app::Shared,
    auth::{Caller, Read},
    params::{self, Id, List, Query},
    problem::ApiError,
};

/// What `filename*` need not encode: `attr-char` of RFC 8187, section 3.2.1.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A piece of a document.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChunkBody {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ChunkId,
    /// Its place in the document, from 0.
    pub ordinal: i32,
    /// Its text.
    pub text: String,
    /// The headings it stands under, outermost first.
    pub heading_path: Vec<String>,
    /// The first page it stands on, where the document has pages.
    pub page_first: Option<i32>,
    /// The last one.
    pub page_last: Option<i32>,
    /// Where it begins in the document's text, in Unicode scalar values.
    pub start_char: i32,
    /// Where it ends.
    pub end_char: i32,
    /// Its length in tokens.
    pub tokens: i32,
}

impl From<Chunk> for ChunkBody {
    fn from(chunk: Chunk) -> Self {
        let Chunk { id, ordinal, text, heading_path, page_first, page_last, start_char, end_char, tokens } = chunk;
        Self { id, ordinal, text, heading_path, page_first, page_last, start_char, end_char, tokens }
    }
}

/// Which chunks are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChunksQuery {
    /// Rows per page, 1 to 200; 50 if not given.
    limit: Option<u64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the pieces that search uses of a document, in its order.
#[utoipa::path(get, path = "/v1/documents/{id}/chunks", tag = "Documents",
    params(("id" = String, Path, description = "The document's id"), ChunksQuery),
    responses((status = 200, description = "A page of chunks; none until the document is ready for the first time",
                  body = List<ChunkBody>)))]
pub(crate) async fn chunks(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<DocumentId>,
    Query(query): Query<ChunksQuery>,
) -> Result<Json<List<ChunkBody>>, ApiError> {
    let limit = params::limit_of(query.limit)?;
    let from = match query.cursor.as_deref().map(str::parse::<i32>) {
        None => 0,
        Some(Ok(from)) if from >= 0 => from,
        Some(_) => return Err(ApiError::field("cursor", "the cursor is not one that a list returned as next_cursor")),
    };
    let tx = app.engine.db().org(caller.org).await?;
    document(&tx, id).await?;
    let mut rows = chunks::list(&tx, id, from, limit + 1).await?;
    tx.commit().await?;
    let kept = usize::try_from(limit).unwrap_or(usize::MAX);
    let next_cursor = rows.get(kept).map(|next| next.ordinal.to_string());
    rows.truncate(kept);
    Ok(Json(List { data: rows.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Read the text that was extracted from a document.
#[utoipa::path(get, path = "/v1/documents/{id}/text", tag = "Documents",
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 200, description = "The text of the version that search uses",
                  body = String, content_type = "text/plain"),
              (status = 409, description = "No version of it is ready")))]
pub(crate) async fn text(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<DocumentId>,
) -> Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let document = document(&tx, id).await?;
    let text = documents::text(&tx, id).await?.ok_or_else(|| missing("text", &document))?;
    tx.commit().await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// Fetch a document's bytes as they came.
#[utoipa::path(get, path = "/v1/documents/{id}/file", tag = "Documents",
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 200, description = "The bytes of the version that was made last, as an attachment",
                  body = Vec<u8>, content_type = "application/octet-stream"),
              (status = 409, description = "They have not been fetched")))]
pub(crate) async fn file(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<DocumentId>,
) -> Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let document = document(&tx, id).await?;
    tx.commit().await?;
    let sha256 = digest(document.file_sha256.as_deref().ok_or_else(|| missing("file", &document))?)?;
    let (bytes, stream) = app.files.stream(&caller.org.to_string(), &sha256).await?;
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(header::CONTENT_TYPE, media_type(&document));
    headers.insert(header::CONTENT_DISPOSITION, attachment(&document)?);
    Ok(response)
}

async fn document(tx: &OrgTx, id: DocumentId) -> Result<Document, ApiError> {
    documents::find(tx, id).await?.ok_or(ApiError::NotFound("document"))
}

fn missing(what: &str, document: &Document) -> ApiError {
    let job = document.job_id;
    ApiError::NotReady(match document.status.as_str() {
        "failed" => format!("The document has no {what}, because its job {job} failed; GET /v1/jobs/{job} says why."),
        _ => format!("The document has no {what} yet; its job {job} is making it."),
    })
}

/// The type found in the bytes, else the one they came with.
fn media_type(document: &Document) -> HeaderValue {
    let said = ["content_type", "media_type"].iter().find_map(|name| document.source.get(name)?.as_str());
    let known = document.media_type.as_deref().or(said).and_then(|kind| HeaderValue::from_str(kind).ok());
    known.unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// A download under the name the file came with, else under the document's id (RFC 6266).
fn attachment(document: &Document) -> Result<HeaderValue, ApiError> {
    let name = document
        .source
        .get("file_name")
        .and_then(|name| name.as_str())
        .map_or_else(|| document.id.to_string(), str::to_owned);
    let text = format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(&name, ENCODED));
    HeaderValue::try_from(text).map_err(|error| ApiError::Internal(error.to_string()))
}
