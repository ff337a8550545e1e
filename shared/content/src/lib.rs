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
//! | `markdown`, `plain` | the two light formats |
//! | `charset` | bytes of unknown encoding to text |
//! | [`chunk`](mod@chunk) | pieces of bounded size in tokens, with heading path, pages and offsets |
//! | [`tokens`] | how tokens are counted |
//! | [`feed`] | RSS, Atom and JSON Feed, read leniently |
//!
//! No function here panics on any input: third-party parsers run behind `catch_unwind`. A parser that never ends or
//! that eats all memory cannot be stopped from inside; callers run [`extract`] in a child process with limits.

mod charset;
pub mod chunk;
pub mod document;
mod error;
pub mod feed;
mod guard;
mod html;
mod language;
mod markdown;
mod options;
mod pdf;
mod plain;
pub mod sniff;
mod table;
pub mod tokens;

pub use chunk::{CHUNKER_VERSION, Chunk, ChunkOptions, chunk};
pub use document::{Block, BlockKind, Extracted, MediaType, Metadata, Warning};
pub use error::ContentError;
pub use feed::{Enclosure, Entry, Feed, FeedError, parse_feed};
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
    };
    let mut extracted = guard::guarded(read)
        .unwrap_or_else(|_| Err(ContentError::DocumentDamaged { media_type: media_type.as_str().to_owned() }))?;
    if extracted.blocks.is_empty() {
        return Err(ContentError::EmptyDocument);
    }
    if extracted.metadata.language.is_none() {
        extracted.metadata.language = language::detect(&extracted.text);
    }
    Ok(extracted)
}

#[cfg(test)]
mod tests {
    //! Whatever the bytes: an answer, never a panic, and offsets that hold.

    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], options: &ExtractOptions) -> Result<(), TestCaseError> {
        let Ok(doc) = extract(bytes, options) else { return Ok(()) };
        let chars: Vec<char> = doc.text.chars().collect();
        let mut last = 0;
        for block in &doc.blocks {
            prop_assert!(last <= block.start && block.start < block.end && block.end <= chars.len());
            last = block.end;
        }
        prop_assert!(doc.text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
        for chunk in chunk(&doc, &ChunkOptions { max_tokens: 32, overlap_tokens: 8 }) {
            prop_assert_eq!(chars[chunk.start..chunk.end].iter().collect::<String>(), chunk.text);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn random_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..600), name in prop_oneof![Just("a.md"), Just("a.html"), Just("a.txt"), Just("a.pdf")]) {
            check(&bytes, &ExtractOptions { file_name: Some(name.into()), ..ExtractOptions::default() })?;
        }

        #[test]
        fn random_markup_is_answered(parts in prop::collection::vec(prop_oneof![
            Just("<table>"), Just("<tr><td>"), Just("</table>"), Just("<ul><li>"), Just("</ul>"), Just("<pre>"), Just("</h1>"), Just("<h3>"),
            Just("# "), Just("- "), Just("1. "), Just("```\n"), Just("| a | b |\n|---|---|\n"), Just("\n\n"), Just("word é 日本 "), Just("---\n"),
        ], 0..60), name in prop_oneof![Just("a.md"), Just("a.html"), Just("a.txt")]) {
            check(parts.concat().as_bytes(), &ExtractOptions { file_name: Some(name.into()), ..ExtractOptions::default() })?;
        }
    }

    #[test]
    fn a_file_that_lies_about_its_type_is_named_for_what_it_is() {
        let options = ExtractOptions {
            declared: Some("application/pdf".into()),
            file_name: Some("scan.pdf".into()),
            ..ExtractOptions::default()
        };
        let error = extract(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01", &options).unwrap_err();
        assert_eq!(error, ContentError::UnsupportedMedia { found: "image/png".into() });
    }
}
