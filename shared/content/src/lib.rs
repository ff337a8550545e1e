//! From bytes to blocks to chunks, and feeds to entries: pure functions, no I/O.
//!
//! The way of a document:
//!
//! ```text
//! bytes ── sniff ──> MediaType ── extract ──> Extracted { text, blocks, metadata } ── chunk ──> [Chunk]
//! bytes ── parse_feed ──> Feed { entries }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`sniff`](mod@sniff) | what the bytes are, whatever they were declared to be |
//! | [`document`] | the one structure every format is read into, and how it is built |
//! | `pdf` | positioned glyphs to lines, columns, tables, headings and paragraphs |
//! | `html` | main content of a page, its blocks and its metadata |
//! | `markdown`, `plain`, `delimited`, `json` | the light formats |
//! | `docx`, `pptx`, `xlsx` | office documents: `opc` holds what they share |
//! | `odt`, `epub`, `eml` | text documents, books, mails |
//! | `container`, `xml`, `flow`, `region`, `markup`, `numerals` | what several of these are made of |
//! | `charset` | bytes of unknown encoding to text |
//! | `clean` | the one place where control characters end |
//! | `render` | the structure as Markdown |
//! | [`chunk`](mod@chunk) | pieces of bounded size in tokens, with heading path, pages and offsets |
//! | [`tokens`] | how tokens are counted |
//! | [`feed`] | RSS, Atom and JSON Feed, read leniently |
//!
//! No function here panics on any input: third-party parsers run behind `catch_unwind`. What asks for far more memory
//! than it has bytes is refused or kept short where such ways are known: pages and characters of a PDF, nodes of an HTML
//! tree, cells of a table, headings, what an archive unpacks to, values of JSON. What remains is a parser that never
//! ends, or that eats all memory in a way not known yet. It cannot be stopped from inside: who reads documents of strangers
//! lets `gristmill_extractor` call [`extract`], in a process of its own that can be stopped.

mod charset;
pub mod chunk;
mod clean;
mod container;
mod delimited;
pub mod document;
mod docx;
mod eml;
mod epub;
mod error;
pub mod feed;
mod flow;
mod guard;
mod html;
mod json;
mod language;
mod markdown;
mod markup;
mod numerals;
mod odt;
mod opc;
mod options;
mod pdf;
mod plain;
mod pptx;
mod region;
mod render;
pub mod sniff;
mod table;
pub mod tokens;
mod xlsx;
mod xml;

pub use chunk::{CHUNKER_VERSION, Chunk, ChunkOptions, chunk};
pub use document::{Block, BlockKind, Extracted, MediaType, Metadata, Warning};
pub use error::ContentError;
pub use feed::{Enclosure, Entry, Feed, FeedError, parse_feed};
pub use html::{HtmlPiece, HtmlPieces, html_pieces};
pub use options::{DEFAULT_MAX_PAGES, ExtractOptions};
pub use sniff::sniff;

/// Reads a document: finds out what it is, and turns it into text with structure and metadata.
///
/// # Errors
///
/// See [`ContentError`]: every failure has a stable code, and none of them goes away by trying again.
pub fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ContentError> {
    let media_type = sniff(bytes, options.hint())?;
    let read = || match media_type {
        MediaType::Pdf => pdf::extract(bytes, options),
        MediaType::Html => html::extract(bytes, options),
        MediaType::Markdown => markdown::extract(bytes, options),
        MediaType::Text => plain::extract(bytes, options),
        MediaType::Csv => delimited::extract(bytes, options),
        MediaType::Json => json::extract(bytes, options),
        MediaType::Docx => docx::extract(bytes),
        MediaType::Pptx => pptx::extract(bytes, options),
        MediaType::Xlsx => xlsx::extract(bytes, options),
        MediaType::Odt => odt::extract(bytes),
        MediaType::Epub => epub::extract(bytes, options),
        MediaType::Eml => eml::extract(bytes),
    };
    let mut extracted = guard::guarded(read)
        .unwrap_or_else(|_| Err(ContentError::DocumentDamaged { media_type: media_type.as_str().to_owned() }))?;
    if extracted.blocks.is_empty() {
        return Err(ContentError::EmptyDocument);
    }
    if extracted.metadata.language.is_none() {
        extracted.metadata.language = language::detect(&extracted.text);
    }
    extracted.metadata = extracted.metadata.cleaned();
    Ok(extracted)
}

#[cfg(test)]
mod tests;
