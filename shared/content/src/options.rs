//! What a caller may say about a document before it is read.

use serde::{Deserialize, Serialize};

/// Pages read at most when the caller names no limit of its own.
pub const DEFAULT_MAX_PAGES: u32 = 5_000;

/// What is known about a document besides its bytes. All of it is a hint: the bytes decide.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExtractOptions {
    /// The declared media type, as in an HTTP `Content-Type` header, with its `charset` parameter if it has one.
    pub declared: Option<String>,
    /// The file's name; its extension tells Markdown from plain text.
    pub file_name: Option<String>,
    /// Where the document came from; relative addresses in HTML are resolved against it.
    pub base_url: Option<url::Url>,
    /// Documents with more pages, slides, sheets or chapters than this are refused as `too-many-pages`.
    pub max_pages: u32,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self { declared: None, file_name: None, base_url: None, max_pages: DEFAULT_MAX_PAGES }
    }
}

impl ExtractOptions {
    /// The more telling of media type and file name: browsers send Markdown as `text/plain` or `octet-stream`, and CSV as
    /// whatever program of the machine opens it.
    pub(crate) fn hint(&self) -> Option<&str> {
        const VAGUE: [&str; 5] =
            ["", "application/octet-stream", "application/vnd.ms-excel", "application/zip", "text/plain"];
        let essence = |declared: &str| declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let declared = self.declared.as_deref();
        let telling = declared.filter(|declared| !VAGUE.contains(&essence(declared).as_str()));
        telling.or(self.file_name.as_deref()).or(declared.filter(|declared| essence(declared) == "text/plain"))
    }
}
