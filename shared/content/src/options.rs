//! What a caller may say about a document before it is read.

/// Pages read at most when the caller names no limit of its own.
pub const DEFAULT_MAX_PAGES: u32 = 5_000;

/// What is known about a document besides its bytes. All of it is a hint: the bytes decide.
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    /// The declared media type, as in an HTTP `Content-Type` header, with its `charset` parameter if it has one.
    pub declared: Option<String>,
    /// The file's name; its extension tells Markdown from plain text.
    pub file_name: Option<String>,
    /// Where the document came from; relative addresses in HTML are resolved against it.
    pub base_url: Option<url::Url>,
    /// PDF documents with more pages than this are refused as `too-many-pages`.
    pub max_pages: u32,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self { declared: None, file_name: None, base_url: None, max_pages: DEFAULT_MAX_PAGES }
    }
}

impl ExtractOptions {
    /// The more telling of media type and file name: browsers send Markdown as `text/plain` or `octet-stream`.
    pub(crate) fn hint(&self) -> Option<&str> {
        let declared = self.declared.as_deref().filter(|declared| {
            let essence = declared.split(';').next().unwrap_or_default().trim();
            !essence.eq_ignore_ascii_case("application/octet-stream") && !essence.is_empty()
        });
        match (declared, self.file_name.as_deref()) {
            (Some(declared), Some(name)) if declared.trim_start().to_ascii_lowercase().starts_with("text/plain") => {
                Some(name)
            }
            (Some(declared), _) => Some(declared),
            (None, name) => name,
        }
    }
}
