//! The one structure every format is read into, and the builder that keeps its offsets true.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::{ContentError, clean};

/// Characters that are read of one document of those formats that can say a thing once and mean it a million times. Eight
/// times the Bible; what is longer is data, and a part of it would pass for the whole.
pub(crate) const MAX_CHARS: usize = 32_000_000;

/// The formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaType {
    /// `application/pdf`
    #[serde(rename = "application/pdf")]
    Pdf,
    /// `text/html`, and XHTML with it
    #[serde(rename = "text/html")]
    Html,
    /// `text/markdown`
    #[serde(rename = "text/markdown")]
    Markdown,
    /// `text/plain`, and with it every other text without structure of its own (source code, logs)
    #[serde(rename = "text/plain")]
    Text,
    /// `text/csv`: values separated by commas, semicolons, tabs or bars
    #[serde(rename = "text/csv")]
    Csv,
    /// `application/json`, and JSON Lines with it
    #[serde(rename = "application/json")]
    Json,
    /// A document of Word and its like (ECMA-376)
    #[serde(rename = "application/vnd.openxmlformats-officedocument.wordprocessingml.document")]
    Docx,
    /// A presentation of PowerPoint and its like (ECMA-376)
    #[serde(rename = "application/vnd.openxmlformats-officedocument.presentationml.presentation")]
    Pptx,
    /// A workbook of Excel and its like (ECMA-376)
    #[serde(rename = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")]
    Xlsx,
    /// A text document of LibreOffice and its like (ISO/IEC 26300)
    #[serde(rename = "application/vnd.oasis.opendocument.text")]
    Odt,
    /// A book (EPUB 2 and 3)
    #[serde(rename = "application/epub+zip")]
    Epub,
    /// An e-mail (RFC 5322, MIME)
    #[serde(rename = "message/rfc822")]
    Eml,
}

impl MediaType {
    /// The IANA media type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Html => "text/html",
            Self::Markdown => "text/markdown",
            Self::Text => "text/plain",
            Self::Csv => "text/csv",
            Self::Json => "application/json",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Pptx => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Odt => "application/vnd.oasis.opendocument.text",
            Self::Epub => "application/epub+zip",
            Self::Eml => "message/rfc822",
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A document after reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Extracted {
    /// What the bytes were found to be.
    pub media_type: MediaType,
    /// The whole text in reading order: blocks parted by an empty line, neighbouring list items by a line break.
    /// Normalised to NFC, without control characters other than line feed and tab. Headings and paragraphs are plain,
    /// list items begin with their marker, tables are Markdown, code is verbatim.
    pub text: String,
    /// The parts of the text in order; they do not overlap.
    pub blocks: Vec<Block>,
    /// What the document says about itself.
    pub metadata: Metadata,
    /// What was lost on the way.
    pub warnings: Vec<Warning>,
}

impl Extracted {
    /// The same with its title as the first heading.
    pub(crate) fn headed(self) -> Self {
        let Self { media_type, text, blocks, metadata, warnings } = self;
        let mut builder = Builder::default();
        builder.push(BlockKind::Heading { level: 1 }, None, metadata.title.as_deref().unwrap_or_default());
        if !builder.blocks.is_empty() && !blocks.is_empty() {
            builder.text.push_str("\n\n");
            builder.chars += 2;
        }
        let shift = builder.chars;
        builder.text.push_str(&text);
        builder.blocks.extend(blocks.into_iter().map(|block| Block {
            start: block.start + shift,
            end: block.end + shift,
            ..block
        }));
        builder.finish(media_type, metadata, warnings)
    }
}

/// One part of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// The page it begins on, counted from 1, for formats that have pages.
    pub page: Option<u32>,
    /// Where it begins in [`Extracted::text`], in Unicode scalar values (`char`s), not bytes.
    pub start: usize,
    /// Where it ends, exclusive, in Unicode scalar values.
    pub end: usize,
    /// The language of code, in lower case, where the document names it: `rust`, `c++`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum BlockKind {
    /// A heading of level 1 (topmost) to 6.
    Heading {
        /// 1 to 6.
        level: u8,
    },
    /// Running text.
    Paragraph,
    /// One item of a list, its marker included.
    ListItem,
    /// A table in Markdown.
    Table,
    /// Code or other text whose line breaks and spaces matter.
    Code,
    /// Words of somebody else, set apart.
    Quote,
}

/// What a document says about itself, or what could be found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The title.
    pub title: Option<String>,
    /// The author or byline.
    pub author: Option<String>,
    /// When it was created or published.
    pub created: Option<DateTime<Utc>>,
    /// ISO 639-1 code of the main language.
    pub language: Option<String>,
    /// How many pages it has, for formats that have pages.
    pub page_count: Option<u32>,
    /// The address the document names as its own.
    pub canonical_url: Option<String>,
}

impl Metadata {
    /// Without control characters, each value on one line; what is empty then is none.
    pub(crate) fn cleaned(self) -> Self {
        let Self { title, author, created, language, page_count, canonical_url } = self;
        let line = |value: Option<String>| value.as_deref().and_then(clean::line);
        Self {
            title: line(title),
            author: line(author),
            created,
            language: line(language),
            page_count,
            canonical_url: line(canonical_url),
        }
    }
}

/// Something that was lost or doubtful, though the rest could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Warning {
    /// These pages, counted from 1, have no text layer: they need OCR.
    PagesWithoutText {
        /// Page numbers from 1.
        pages: Vec<u32>,
    },
    /// These pages, counted from 1, could not be parsed.
    PagesDamaged {
        /// Page numbers from 1.
        pages: Vec<u32>,
    },
    /// Much of the text of these pages is in fonts that do not say which letters they draw.
    PagesUnmapped {
        /// Page numbers from 1.
        pages: Vec<u32>,
    },
    /// These pages, counted from 1, hold more characters than are read of one page: the rest was left out.
    PagesCut {
        /// Page numbers from 1.
        pages: Vec<u32>,
    },
    /// Some bytes did not fit the encoding and were replaced by U+FFFD.
    TextReplaced {
        /// The encoding, by its WHATWG name.
        encoding: String,
    },
    /// No main content stood out in the page: all of its visible text was taken.
    MainContentUnclear,
    /// These parts of the document could not be parsed and were left out.
    PartsDamaged {
        /// Their names within the document.
        parts: Vec<String>,
    },
}

impl Warning {
    /// The stable, kebab-case name of this warning.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::PagesWithoutText { .. } => "pages-without-text",
            Self::PagesDamaged { .. } => "pages-damaged",
            Self::PagesUnmapped { .. } => "pages-unmapped",
            Self::PagesCut { .. } => "pages-cut",
            Self::TextReplaced { .. } => "text-replaced",
            Self::MainContentUnclear => "main-content-unclear",
            Self::PartsDamaged { .. } => "parts-damaged",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |pages: &[u32]| pages.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::PagesWithoutText { pages } => {
                write!(f, "No text layer on page {}; OCR would be needed.", list(pages))
            }
            Self::PagesDamaged { pages } => write!(f, "Page {} is damaged and was left out.", list(pages)),
            Self::PagesUnmapped { pages } => {
                write!(f, "Fonts on page {} do not say which letters they draw; text is missing.", list(pages))
            }
            Self::PagesCut { pages } => {
                write!(f, "Page {} holds more text than is read of one page; the rest was left out.", list(pages))
            }
            Self::TextReplaced { encoding } => {
                write!(f, "Some bytes are not valid {encoding} and were replaced.")
            }
            Self::MainContentUnclear => f.write_str("No main content stood out; all visible text was taken."),
            Self::PartsDamaged { parts } => write!(f, "Damaged and left out: {}.", parts.join(", ")),
        }
    }
}

/// Collects blocks and keeps text and offsets in step.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    text: String,
    chars: usize,
    blocks: Vec<Block>,
}

impl Builder {
    /// Appends a block; one without any visible character is left out.
    pub(crate) fn push(&mut self, kind: BlockKind, page: Option<u32>, content: &str) {
        self.append(kind, page, content, None);
    }

    /// Appends code, with the language it is in.
    pub(crate) fn push_code(&mut self, page: Option<u32>, content: &str, language: Option<String>) {
        self.append(BlockKind::Code, page, content, language);
    }

    fn append(&mut self, kind: BlockKind, page: Option<u32>, content: &str, language: Option<String>) {
        let clean = normalised(content, kind);
        if clean.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
            return;
        }
        if let Some(last) = self.blocks.last() {
            let separator = if last.kind == BlockKind::ListItem && kind == BlockKind::ListItem { "\n" } else { "\n\n" };
            self.text.push_str(separator);
            self.chars += separator.len();
        }
        let start = self.chars;
        self.chars += clean.chars().count();
        self.text.push_str(&clean);
        self.blocks.push(Block { kind, page, start, end: self.chars, language });
    }

    /// Appends what another builder holds, all of it on one page.
    pub(crate) fn extend(&mut self, other: &Self, page: Option<u32>) {
        let mut chars = other.text.chars();
        let mut at = 0;
        for block in &other.blocks {
            let content: String = chars.by_ref().skip(block.start - at).take(block.end - block.start).collect();
            at = block.end;
            self.append(block.kind, page, &content, block.language.clone());
        }
    }

    /// How long the text is so far, in characters.
    pub(crate) fn chars(&self) -> usize {
        self.chars
    }

    /// Refuses a document once it holds more than is read of one.
    pub(crate) fn bounded(&self) -> Result<(), ContentError> {
        if self.chars > MAX_CHARS { Err(ContentError::TooMuchText { max: MAX_CHARS }) } else { Ok(()) }
    }

    /// The blocks so far.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Ends the document.
    pub(crate) fn finish(self, media_type: MediaType, metadata: Metadata, warnings: Vec<Warning>) -> Extracted {
        Extracted { media_type, text: self.text, blocks: self.blocks, metadata, warnings }
    }
}

/// Trims, drops control characters and normalises to NFC.
fn normalised(content: &str, kind: BlockKind) -> String {
    let trimmed = match kind {
        BlockKind::Code => content.trim_matches('\n').trim_end(),
        // List markers keep the indentation that shows their depth.
        BlockKind::ListItem => content.trim_end().trim_start_matches(['\n', '\r']),
        _ => content.trim(),
    };
    let clean = clean::text(trimmed);
    if is_nfc_quick(clean.chars()) == IsNormalized::Yes { clean } else { clean.nfc().collect() }
}

/// Characters that draw nothing though they are not white space.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_characters_not_bytes() {
        let mut builder = Builder::default();
        builder.push(BlockKind::Heading { level: 1 }, Some(1), "Größe");
        builder.push(BlockKind::Paragraph, Some(1), " \u{0} \u{200b} ");
        builder.push(BlockKind::Paragraph, Some(2), "cafe\u{301}\u{0} ok");
        let doc = builder.finish(MediaType::Text, Metadata::default(), Vec::new());
        assert_eq!(doc.text, "Größe\n\ncafé ok");
        assert_eq!(doc.blocks.len(), 2);
        assert_eq!((doc.blocks[1].start, doc.blocks[1].end), (7, 14));
    }

    #[test]
    fn neighbouring_list_items_stay_together() {
        let mut builder = Builder::default();
        builder.push(BlockKind::ListItem, None, "- a");
        builder.push(BlockKind::ListItem, None, "  - b");
        builder.push(BlockKind::Paragraph, None, "c");
        assert_eq!(builder.finish(MediaType::Text, Metadata::default(), Vec::new()).text, "- a\n  - b\n\nc");
    }

    #[test]
    fn the_structure_survives_json() {
        let mut builder = Builder::default();
        builder.push(BlockKind::Heading { level: 2 }, Some(1), "A");
        let doc = builder.finish(
            MediaType::Pdf,
            Metadata { page_count: Some(1), ..Metadata::default() },
            vec![Warning::PagesWithoutText { pages: vec![2] }],
        );
        let json = serde_json::to_string(&doc).unwrap();
        assert!(json.contains("pages-without-text") && json.contains("application/pdf"));
        assert_eq!(serde_json::from_str::<Extracted>(&json).unwrap(), doc);
    }
}
