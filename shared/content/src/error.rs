//! Why a document cannot be read. Each reason has a stable code that callers and users can rely on.

use serde::{Deserialize, Serialize};

/// Why a document cannot be read. None of these goes away by trying again with the same bytes.
///
/// Serialised as an object tagged with its `code`, so that it crosses the pipe of a child process unharmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ContentError {
    /// No text at all: no bytes, or nothing but white space and markup.
    #[error("The document holds no text.")]
    EmptyDocument,
    /// The bytes are of a type that cannot be read.
    #[error(
        "Documents of type {found} cannot be read. Supported are PDF, HTML, Markdown, plain text, CSV, JSON, DOCX, PPTX, XLSX, ODT, EPUB and EML."
    )]
    UnsupportedMedia {
        /// The media type the bytes were found to be, whatever was declared.
        found: String,
    },
    /// The PDF cannot be parsed, or none of its pages can.
    #[error("The PDF is damaged and no text could be recovered: {detail}. Export or download it again.")]
    PdfDamaged {
        /// What went wrong, in a few words.
        detail: String,
    },
    /// The PDF opens only with a password.
    #[error("The PDF is protected by a password. Save a copy without one and upload that.")]
    PdfPassword,
    /// The document opens only with a password or a licence.
    #[error("The document is encrypted. Save a copy without a password or copy protection and upload that.")]
    DocumentEncrypted {
        /// The media type of the document, as far as it can be told.
        media_type: String,
    },
    /// No page has a text layer: scans or drawings.
    #[error("The PDF holds pictures of text but no text ({} pages). Run it through OCR first.", pages.len())]
    NeedsOcr {
        /// The pages without text, counted from 1.
        pages: Vec<u32>,
    },
    /// The document is longer than allowed.
    #[error("The document has {pages} pages; at most {max} are allowed. Split it.")]
    TooManyPages {
        /// How many pages it has.
        pages: u32,
        /// How many are allowed.
        max: u32,
    },
    /// The pages together hold more characters than are read of one document.
    #[error("The document holds more than {max} characters. Split it.")]
    TooMuchText {
        /// How many characters are read at most.
        max: usize,
    },
    /// The archive that the document is unpacks to more than can be held.
    #[error("The document unpacks to more than {max_mb} MB. Split it.")]
    UnfoldsTooFar {
        /// How many MiB are unpacked at most.
        max_mb: u64,
    },
    /// The markup unfolds to more than can be held, however short it is.
    #[error("The document unfolds to more than {max} elements, texts and attributes. Split or simplify it.")]
    TooManyElements {
        /// How many are allowed.
        max: usize,
    },
    /// The document is nested deeper than can be followed.
    #[error("The document is nested more than {max} levels deep. Flatten it.")]
    TooDeep {
        /// How many levels are followed.
        max: usize,
    },
    /// The bytes are not text in the encoding they claim or seem to have.
    #[error("The text cannot be decoded as {encoding}. Save it as UTF-8.")]
    TextUndecodable {
        /// The encoding that was tried, by its WHATWG name.
        encoding: String,
    },
    /// The parser of a format gave up on this document.
    #[error("The {media_type} document is damaged and could not be read.")]
    DocumentDamaged {
        /// The media type of the document.
        media_type: String,
    },
}

impl ContentError {
    /// The stable, kebab-case name of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmptyDocument => "empty-document",
            Self::UnsupportedMedia { .. } => "unsupported-media",
            Self::PdfDamaged { .. } => "pdf-damaged",
            Self::PdfPassword => "pdf-password",
            Self::DocumentEncrypted { .. } => "document-encrypted",
            Self::NeedsOcr { .. } => "needs-ocr",
            Self::TooManyPages { .. } => "too-many-pages",
            Self::TooMuchText { .. } => "too-much-text",
            Self::UnfoldsTooFar { .. } => "unfolds-too-far",
            Self::TooManyElements { .. } => "too-many-elements",
            Self::TooDeep { .. } => "too-deep",
            Self::TextUndecodable { .. } => "text-undecodable",
            Self::DocumentDamaged { .. } => "document-damaged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serialised_tag_is_the_code_and_it_comes_back() {
        let errors = [
            ContentError::EmptyDocument,
            ContentError::UnsupportedMedia { found: "image/png".into() },
            ContentError::PdfDamaged { detail: "no pages".into() },
            ContentError::PdfPassword,
            ContentError::DocumentEncrypted { media_type: "application/epub+zip".into() },
            ContentError::UnfoldsTooFar { max_mb: 3 },
            ContentError::NeedsOcr { pages: vec![1, 2] },
            ContentError::TooManyPages { pages: 9, max: 3 },
            ContentError::TooMuchText { max: 3 },
            ContentError::TooManyElements { max: 3 },
            ContentError::TooDeep { max: 3 },
            ContentError::TextUndecodable { encoding: "UTF-8".into() },
            ContentError::DocumentDamaged { media_type: "text/html".into() },
        ];
        for error in errors {
            let json = serde_json::to_value(&error).unwrap();
            assert_eq!(json["code"], error.code());
            assert_eq!(serde_json::from_value::<ContentError>(json).unwrap(), error);
        }
    }
}
