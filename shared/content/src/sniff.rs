//! What the bytes are, whatever they were declared to be.
//!
//! Binary formats are told by their magic numbers, HTML by the signatures of the WHATWG MIME Sniffing Standard
//! (section 7.1), text by the absence of what that standard calls binary data bytes. Only samples of the bytes are
//! looked at, so 200 MB of zeros are refused as fast as 200 bytes of them. Archives and mails are told by what is in them.

mod packed;

use crate::charset;
use crate::{ContentError, MediaType, delimited};

/// How many bytes of head, middle and tail are looked at.
const SAMPLE: usize = 8 * 1024;

/// How far into a file the PDF header may stand; readers have accepted this much junk ever since Acrobat did.
const PDF_HEADER_WINDOW: usize = 1024;

/// Finds out what the bytes are. `declared` is a media type (`text/html; charset=…`) or a file name and only a hint:
/// it tells apart what the bytes cannot, such as Markdown from plain text.
///
/// # Errors
///
/// [`ContentError::EmptyDocument`] for no bytes or white space only; [`ContentError::UnsupportedMedia`] for anything
/// that is not one of the [`MediaType`]s, with the type that was found; [`ContentError::DocumentDamaged`] and
/// [`ContentError::DocumentEncrypted`] for archives that cannot be opened.
pub fn sniff(bytes: &[u8], declared: Option<&str>) -> Result<MediaType, ContentError> {
    if bytes.is_empty() {
        return Err(ContentError::EmptyDocument);
    }
    let head = &bytes[..bytes.len().min(SAMPLE)];
    if find(&head[..head.len().min(PDF_HEADER_WINDOW)], b"%PDF-").is_some() {
        return Ok(MediaType::Pdf);
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return packed::archive(bytes);
    }
    if bytes.starts_with(packed::COMPOUND_FILE) {
        return Err(packed::compound_file(bytes));
    }
    let hint = declared.map_or(Hint::None, Hint::of);
    if let Some(found) = packed::mail(bytes, head, hint) {
        return found;
    }
    let wide =
        charset::utf16_without_bom(head).is_some() || charset::bom(head).is_some_and(|(e, _)| e != encoding_rs::UTF_8);
    if let Some(kind) = infer::get(head) {
        let mime = kind.mime_type();
        // Some magic numbers are two letters long ("BM", "MZ"): text may well begin with them.
        let textual = matches!(mime, "application/rtf" | "application/postscript");
        if !mime.starts_with("text/") && (textual || (!wide && looks_binary(head))) {
            return Err(unsupported(mime));
        }
    }
    if !wide && samples(bytes).any(looks_binary) {
        return Err(unsupported("application/octet-stream"));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ContentError::EmptyDocument);
    }
    let (decoded, _) = charset::decode_lossy(head, declared);
    text_kind(decoded.trim_start_matches('\u{feff}').trim_start(), hint)
}

/// What a declared type or a file name suggests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    Html,
    Markdown,
    Csv,
    Json,
    Mail,
    Text,
    None,
}

impl Hint {
    fn of(declared: &str) -> Self {
        let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "text/html" | "application/xhtml+xml" => return Self::Html,
            "text/markdown" | "text/x-markdown" => return Self::Markdown,
            "text/csv" | "application/csv" | "text/tab-separated-values" => return Self::Csv,
            "application/json" | "application/x-ndjson" | "application/jsonl" | "application/json-lines" => {
                return Self::Json;
            }
            "message/rfc822" => return Self::Mail,
            _ if essence.ends_with("+json") => return Self::Json,
            _ => {}
        }
        match essence.rsplit_once('.').map(|(_, extension)| extension) {
            Some("html" | "htm" | "xhtml") => Self::Html,
            Some("md" | "markdown" | "mdown" | "mkd" | "mdx") => Self::Markdown,
            Some("csv" | "tsv" | "tab") => Self::Csv,
            Some("json" | "jsonl" | "ndjson" | "geojson" | "ipynb") => Self::Json,
            Some("eml" | "mail") => Self::Mail,
            Some("txt" | "text" | "log") => Self::Text,
            _ if essence.starts_with("text/") => Self::Text,
            _ => Self::None,
        }
    }
}

/// Tells the text formats apart; `text` begins with its first visible character.
fn text_kind(text: &str, hint: Hint) -> Result<MediaType, ContentError> {
    let head: String = text.chars().take(2048).collect::<String>().to_ascii_lowercase();
    if head.starts_with("<!doctype html") || starts_with_tag(&head, "html") {
        return Ok(MediaType::Html);
    }
    let prolog = head.starts_with("<?xml");
    if prolog
        || head.starts_with("<!doctype")
        || ["rss", "feed", "rdf:rdf", "svg", "opml"].iter().any(|t| starts_with_tag(&head, t))
    {
        let named = |tag: &str| head.match_indices('<').any(|(at, _)| starts_with_tag(&head[at..], tag));
        for (tag, found) in [
            ("html", None),
            ("rss", Some("application/rss+xml")),
            ("rdf:rdf", Some("application/rdf+xml")),
            ("feed", Some("application/atom+xml")),
            ("svg", Some("image/svg+xml")),
            ("opml", Some("text/x-opml")),
        ] {
            if named(tag) {
                return found.map_or(Ok(MediaType::Html), |found| Err(unsupported(found)));
            }
        }
        if prolog && hint != Hint::Html {
            return Err(unsupported("application/xml"));
        }
        if head.starts_with("<!doctype") {
            return Ok(MediaType::Html);
        }
    }
    Ok(match hint {
        Hint::Markdown => MediaType::Markdown,
        Hint::Html => MediaType::Html,
        Hint::Csv => MediaType::Csv,
        Hint::Json => MediaType::Json,
        _ if is_html_fragment(&head) => MediaType::Html,
        Hint::Text | Hint::Mail => MediaType::Text,
        Hint::None if looks_like_json(text) => MediaType::Json,
        Hint::None if looks_like_markdown(text) => MediaType::Markdown,
        Hint::None if delimited::looks_like(text) => MediaType::Csv,
        Hint::None => MediaType::Text,
    })
}

/// Whether a text begins as an object does, or a list of objects, lists or strings; numbers in brackets are footnotes too.
fn looks_like_json(text: &str) -> bool {
    let after = |sign: char| text.strip_prefix(sign).and_then(|rest| rest.trim_start().chars().next());
    matches!(after('{'), Some('"' | '}')) || matches!(after('['), Some('{' | '[' | '"'))
}

/// The remaining HTML signatures of the WHATWG standard.
fn is_html_fragment(head: &str) -> bool {
    const TAGS: [&str; 16] = [
        "head", "script", "iframe", "h1", "div", "font", "table", "a", "style", "title", "b", "body", "br", "p",
        "article", "main",
    ];
    head.starts_with("<!--") || TAGS.iter().any(|tag| starts_with_tag(head, tag))
}

/// Whether `head` (lower case) begins with `<tag` followed by the end of the name.
fn starts_with_tag(head: &str, tag: &str) -> bool {
    head.strip_prefix('<')
        .and_then(|rest| rest.strip_prefix(tag))
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/')))
}

/// Two different signs of Markdown, or a heading at the very beginning: one alone occurs in plain text as well.
fn looks_like_markdown(text: &str) -> bool {
    let is_heading = |line: &str| {
        let rest = line.trim_start_matches('#');
        (1..=6).contains(&(line.len() - rest.len())) && rest.starts_with(' ')
    };
    let mut signs = [false; 5];
    for line in text.lines().take(200) {
        signs[0] |= is_heading(line);
        signs[1] |= line.starts_with("```") || line.starts_with("~~~");
        signs[2] |= line.find("](").is_some_and(|at| line[..at].contains('[') && line[at..].contains(')'));
        signs[3] |= line.starts_with('|') && line.trim_end().ends_with('|');
        signs[4] |= line.matches("**").count() >= 2;
    }
    let first_is_markdown =
        text.lines().next().is_some_and(is_heading) && text.lines().nth(1).is_none_or(|l| l.trim().is_empty());
    first_is_markdown || signs.iter().filter(|sign| **sign).count() >= 2
}

/// Whether the sample holds NULs or more control bytes than stray ones: 1 in 100.
fn looks_binary(sample: &[u8]) -> bool {
    let control = |byte: &&u8| matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    let nul = sample.iter().filter(|byte| **byte == 0).count();
    // One stray NUL is damage; several are data.
    nul * 1000 > sample.len() || sample.iter().filter(control).count() * 100 > sample.len()
}

/// Head, middle and tail.
fn samples(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = if bytes.len() <= 3 * SAMPLE {
        vec![(0, bytes.len())]
    } else {
        [0, bytes.len() / 2, bytes.len() - SAMPLE].map(|start| (start, start + SAMPLE)).to_vec()
    };
    starts.into_iter().map(|(start, end)| &bytes[start..end])
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn unsupported(found: &str) -> ContentError {
    ContentError::UnsupportedMedia { found: found.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

    #[test]
    fn the_bytes_win_over_the_declaration() {
        assert_eq!(sniff(PNG, Some("paper.pdf")), Err(unsupported("image/png")));
        assert_eq!(sniff(PNG, Some("application/pdf")), Err(unsupported("image/png")));
        assert_eq!(sniff(b"%PDF-1.7\n", Some("notes.txt")), Ok(MediaType::Pdf));
        assert_eq!(sniff(b"  <!DOCTYPE html><p>x", Some("text/plain")), Ok(MediaType::Html));
    }

    #[test]
    fn binary_is_refused_whatever_its_size() {
        let zeros = vec![0_u8; 200 << 20];
        let started = std::time::Instant::now();
        assert_eq!(sniff(&zeros, None), Err(unsupported("application/octet-stream")));
        assert!(started.elapsed().as_millis() < 200, "{:?}", started.elapsed());
        let junk: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert!(sniff(&junk, Some("a.txt")).is_err());
    }

    #[test]
    fn nothing_and_white_space_are_empty() {
        assert_eq!(sniff(b"", None), Err(ContentError::EmptyDocument));
        assert_eq!(sniff(b" \n\t\r\n", None), Err(ContentError::EmptyDocument));
    }

    #[test]
    fn text_formats_are_told_apart() {
        assert_eq!(sniff(b"# Title\n\nText", None), Ok(MediaType::Markdown));
        assert_eq!(sniff(b"# not markdown, a comment\nx = 1\n", None), Ok(MediaType::Text));
        assert_eq!(sniff(b"plain", Some("readme.MD")), Ok(MediaType::Markdown));
        assert_eq!(sniff(b"MZ is a title, BM too", None), Ok(MediaType::Text));
        assert_eq!(sniff(b"<div>fragment</div>", None), Ok(MediaType::Html));
        assert_eq!(sniff(b"<p align=center>logo</p>\n\n# T", Some("README.md")), Ok(MediaType::Markdown));
        assert_eq!(sniff(b"\xff\xfeH\0i\0", None), Ok(MediaType::Text));
        assert_eq!(sniff("H\0i\0 \0y\0o\0u\0".as_bytes(), None), Ok(MediaType::Text));
    }

    #[test]
    fn json_mail_and_tables_are_told_by_what_is_in_them() {
        assert_eq!(sniff(b" {\n \"a\": 1}", None), Ok(MediaType::Json));
        assert_eq!(sniff(b"[{\"a\": 1}]", Some("text/plain")), Ok(MediaType::Text));
        assert_eq!(sniff(b"[1] A footnote.", None), Ok(MediaType::Text));
        assert_eq!(sniff(b"a,b\n1,2\n", Some("a.csv")), Ok(MediaType::Csv));
        assert_eq!(sniff(b"a,b,c\n1,2,3\n1,2,3\n1,2,3\n1,2,3\n1,2,3\n", None), Ok(MediaType::Csv));
        let mail = b"Received: from a by b;\r\n\tMon, 1 Jan 2026\r\nFrom: a@b.test\r\nSubject: x\r\n\r\nBody \0";
        assert_eq!(sniff(mail, None), Ok(MediaType::Eml));
        assert_eq!(sniff(b"From: me\nTo: you\n\nA letter.", Some("letter.txt")), Ok(MediaType::Text));
        assert_eq!(sniff(b"From: me\nTo: you\n\nA letter.", Some("letter.eml")), Ok(MediaType::Eml));
        let printed = b"From: me\nSent: Monday\nTo: you\nSubject: x\n\nA mail on paper.";
        assert_eq!(sniff(printed, Some("mail.txt")), Ok(MediaType::Text));
        assert_eq!(sniff(printed, None), Ok(MediaType::Eml));
        let mbox =
            b"From a@b.test Mon Jan  1 00:00:00 2026\nFrom: a\nTo: b\nDate: c\n\nx\n\nFrom c@d.test Tue\nFrom: c\n\ny";
        assert_eq!(sniff(mbox, None), Err(unsupported("application/mbox")));
    }

    #[test]
    fn xml_is_named_for_what_it_is() {
        assert_eq!(sniff(b"<?xml version='1.0'?><rss version='2.0'/>", None), Err(unsupported("application/rss+xml")));
        assert_eq!(sniff(b"<?xml version='1.0'?><a/>", None), Err(unsupported("application/xml")));
        assert_eq!(sniff(b"<svg xmlns='x'></svg>", None), Err(unsupported("image/svg+xml")));
        assert_eq!(sniff(b"<?xml version='1.0'?><html xmlns='x'/>", None), Ok(MediaType::Html));
        assert_eq!(sniff(b"{\\rtf1 hello}", Some("a.txt")), Err(unsupported("application/rtf")));
    }
}
