//! Reading a document out of a request: multipart parts as they come, or JSON.

use axum::{
    extract::{
        FromRequest as _, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::StatusCode,
};
use bytes::Bytes;
use gristmill_core::ids::OrgId;
use gristmill_files::{Staged, StoredFile};
use gristmill_store::documents::{FileRef, NewDocument};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{
    app::Shared,
    body::{self, JsonBody},
    idempotency::Content,
    params,
    problem::ApiError,
};

/// The largest `meta` part, in bytes.
const META_LIMIT: usize = 256 * 1024;
/// The largest document in JSON, in bytes: unlike a file it is held in memory.
const JSON_LIMIT: u64 = 16 * 1024 * 1024;
/// What a multipart body may have beyond its file: boundaries, headers, `meta`.
const OVERHEAD: u64 = 1024 * 1024;
/// The longest file name that is kept, in characters.
const LONGEST_NAME: usize = 255;

/// What an owner says of a document.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentMeta {
    /// Its title; if not given, the one found in it.
    title: Option<String>,
    /// Labels to find it by.
    #[serde(default)]
    tags: Vec<String>,
    /// Its category.
    category: Option<String>,
    /// The engagement it belongs to.
    engagement: Option<String>,
    /// Whatever else is to be kept with it.
    #[schema(value_type = Option<Object>)]
    meta: Option<Map<String, Value>>,
    /// What your system calls it. Handed in again under the same name, it is a new version of the same document.
    external_id: Option<String>,
}

/// A document in JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentRequest {
    /// Where it comes from.
    source: Source,
    /// Its title; if not given, the one found in it.
    title: Option<String>,
    /// Labels to find it by.
    #[serde(default)]
    tags: Vec<String>,
    /// Its category.
    category: Option<String>,
    /// The engagement it belongs to.
    engagement: Option<String>,
    /// Whatever else is to be kept with it.
    #[schema(value_type = Option<Object>)]
    meta: Option<Map<String, Value>>,
    /// What your system calls it. Handed in again under the same name, it is a new version of the same document.
    external_id: Option<String>,
}

/// Where a document comes from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Source {
    /// The text itself.
    Text {
        /// The text.
        text: String,
        /// What it is written in.
        #[serde(default)]
        media_type: TextType,
    },
    /// An address that its job fetches.
    Url {
        /// An absolute `http` or `https` URL.
        #[schema(example = "https://example.org/report.pdf")]
        url: String,
    },
}

/// What a text is written in.
#[derive(Debug, Default, Clone, Copy, Deserialize, ToSchema)]
pub(crate) enum TextType {
    /// Plain text.
    #[default]
    #[serde(rename = "text/plain")]
    Plain,
    /// Markdown.
    #[serde(rename = "text/markdown")]
    Markdown,
    /// HTML.
    #[serde(rename = "text/html")]
    Html,
}

impl TextType {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Html => "text/html",
        }
    }
}

/// A document in multipart form, for the documentation.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "parts are read one by one; this describes them")]
pub(crate) struct DocumentParts {
    /// The file.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// What is said of it, as JSON.
    meta: Option<DocumentMeta>,
}

/// A document as it was handed in, its bytes in the file storage.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) new: NewDocument,
    pub(super) content: Content,
}

/// Reads the document out of `request`, whichever form it has.
pub(super) async fn read(app: &Shared, org: OrgId, request: Request) -> Result<Handed, ApiError> {
    match body::media_type(request.headers()).as_str() {
        "multipart/form-data" => read_parts(app, org, request).await,
        _ if body::is_json(request.headers()) => read_json(app, org, request).await,
        _ => Err(ApiError::UnsupportedMedia("multipart/form-data or application/json")),
    }
}

async fn read_json(app: &Shared, org: OrgId, request: Request) -> Result<Handed, ApiError> {
    let JsonBody { value, bytes } = JsonBody::<DocumentRequest>::read(request, app, JSON_LIMIT).await?;
    let DocumentRequest { source, title, tags, category, engagement, meta, external_id } = value;
    let said = DocumentMeta { title, tags, category, engagement, meta, external_id };
    said.check("")?;
    let content = Content::json(&bytes);
    let (source, file) = match source {
        Source::Text { text, media_type } => {
            let mut staged = app.files.stage(app.http.max_upload_bytes).await?;
            staged.write(Bytes::from(text)).await?;
            (json!({ "type": "text", "media_type": media_type.name() }), Some(kept(app, org, staged).await?))
        }
        Source::Url { url } => {
            let url = params::absolute(&url)?;
            app.fetcher.check_url(&url)?;
            (json!({ "type": "url", "url": url.as_str() }), None)
        }
    };
    Ok(Handed { new: said.document(source, file.map(reference)), content })
}

async fn read_parts(app: &Shared, org: OrgId, mut request: Request) -> Result<Handed, ApiError> {
    let limit_bytes = app.http.max_upload_bytes;
    let bound = body::bound(&mut request, limit_bytes.saturating_add(OVERHEAD));
    // What the caller can do something about is the file.
    bound.map_err(|_| ApiError::TooLarge { limit_bytes })?;
    let mut parts =
        Multipart::from_request(request, app).await.map_err(|rejection| broken_form(&rejection.body_text()))?;
    let (mut file, mut said) = (None, None);
    while let Some(part) = parts.next_field().await.map_err(|error| unread(&error, limit_bytes))? {
        match part.name() {
            Some("file") if file.is_none() => file = Some(read_file(app, org, part).await?),
            Some("meta") if said.is_none() => said = Some(read_meta(part, limit_bytes).await?),
            Some("file" | "meta") => return Err(broken_form("each part is sent once")),
            _ => return Err(broken_form("the parts are \"file\" and \"meta\"")),
        }
    }
    let file = file.ok_or_else(|| broken_form("the part \"file\" is missing"))?;
    let (said, meta_bytes) = said.unwrap_or_default();
    // Boundaries differ from one sending to the next; what is sent does not.
    let content = Content::default()
        .with("file", file.stored.sha256.as_bytes())
        .with("file_name", file.name.as_deref().unwrap_or_default().as_bytes())
        .with("content_type", file.content_type.as_deref().unwrap_or_default().as_bytes())
        .with(
            "meta",
            crate::idempotency::canonical(serde_json::from_slice(&meta_bytes).unwrap_or_default()).as_bytes(),
        );
    let source = json!({ "type": "upload", "file_name": file.name, "content_type": file.content_type });
    Ok(Handed { new: said.document(source, Some(reference(file.stored))), content })
}

struct UploadedFile {
    stored: StoredFile,
    name: Option<String>,
    content_type: Option<String>,
}

async fn read_file(app: &Shared, org: OrgId, mut part: Field<'_>) -> Result<UploadedFile, ApiError> {
    let limit_bytes = app.http.max_upload_bytes;
    let name = part.file_name().and_then(base_name);
    let content_type = part.content_type().filter(|kind| kind.len() <= 255).map(str::to_owned);
    let mut staged = app.files.stage(limit_bytes).await?;
    while let Some(bytes) = part.chunk().await.map_err(|error| unread(&error, limit_bytes))? {
        staged.write(bytes).await?;
    }
    Ok(UploadedFile { stored: kept(app, org, staged).await?, name, content_type })
}

async fn read_meta(mut part: Field<'_>, limit_bytes: u64) -> Result<(DocumentMeta, Vec<u8>), ApiError> {
    let mut bytes = Vec::new();
    while let Some(more) = part.chunk().await.map_err(|error| unread(&error, limit_bytes))? {
        if bytes.len() + more.len() > META_LIMIT {
            return Err(ApiError::TooLarge { limit_bytes: META_LIMIT as u64 });
        }
        bytes.extend_from_slice(&more);
    }
    let said: DocumentMeta = body::parse(&bytes, "/meta")?;
    said.check("/meta")?;
    Ok((said, bytes))
}

/// Keeps what was staged, unless it is empty.
async fn kept(app: &Shared, org: OrgId, staged: Staged) -> Result<StoredFile, ApiError> {
    if staged.size_bytes() == 0 {
        return Err(ApiError::EmptyDocument);
    }
    Ok(app.files.store(&org.to_string(), staged).await?)
}

fn reference(file: StoredFile) -> FileRef {
    FileRef { sha256: file.sha256.as_bytes().to_vec(), bytes: i64::try_from(file.size_bytes).unwrap_or(i64::MAX) }
}

/// The last part of a path of either style, without control characters; `None` where nothing is left.
fn base_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect();
    (!kept.trim().is_empty()).then_some(kept)
}

fn broken_form(problem: &str) -> ApiError {
    ApiError::Invalid { detail: format!("The form cannot be read: {problem}."), errors: Vec::new() }
}

fn unread(error: &MultipartError, limit_bytes: u64) -> ApiError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge { limit_bytes },
        StatusCode::INTERNAL_SERVER_ERROR => ApiError::BodyIncomplete,
        _ => broken_form(&error.body_text()),
    }
}

impl DocumentMeta {
    fn check(&self, root: &str) -> Result<(), ApiError> {
        params::length(&format!("{root}/title"), self.title.as_deref(), 1_000)?;
        params::labels(&format!("{root}/tags"), &self.tags)?;
        params::length(&format!("{root}/category"), self.category.as_deref(), 200)?;
        params::length(&format!("{root}/engagement"), self.engagement.as_deref(), 200)?;
        params::length(&format!("{root}/external_id"), self.external_id.as_deref(), 500)?;
        // Lists show it with every document.
        let meta = self.meta.as_ref().map(|meta| Value::Object(meta.clone()).to_string().len());
        if meta.is_some_and(|length| length > META_LIMIT) {
            return Err(ApiError::field(format!("{root}/meta"), format!("is at most {META_LIMIT} bytes of JSON")));
        }
        Ok(())
    }

    fn document(self, source: Value, file: Option<FileRef>) -> NewDocument {
        NewDocument {
            external_id: self.external_id,
            title: self.title,
            tags: self.tags,
            category: self.category,
            engagement: self.engagement,
            meta: self.meta.map(Value::Object),
            source,
            file,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DocumentRequest, base_name};
    use crate::body::parse;

    #[test]
    fn only_the_last_part_of_a_file_name_is_kept() {
        assert_eq!(base_name("C:\\temp\\a b.pdf").as_deref(), Some("a b.pdf"));
        assert_eq!(base_name("../../etc/pass\nwd").as_deref(), Some("passwd"));
        assert_eq!(base_name("folder/"), None);
    }

    #[test]
    fn sources_other_than_text_and_url_are_refused() {
        let refused =
            |source: &str| parse::<DocumentRequest>(format!("{{\"source\":{source}}}").as_bytes(), "").is_err();
        assert!(refused(r#"{"type":"s3","key":"x"}"#));
        assert!(refused(r#"{"type":"text","text":"x","extra":1}"#));
        assert!(refused(r#"{"type":"text","text":"x","media_type":"image/png"}"#));
        assert!(!refused(r#"{"type":"text","text":"x","media_type":"text/markdown"}"#));
    }
}
