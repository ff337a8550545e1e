//! The lenient front: bytes of a feed as servers send them, to text an XML or JSON parser accepts.

use super::FeedError;
use crate::charset;

/// How far into the source the root element is looked for, in bytes.
const ROOT_WINDOW: usize = 64 * 1024;

/// Named HTML entities that occur in XML feeds without being declared, and what they stand for.
const ENTITIES: [(&str, &str); 24] = [
    ("nbsp", "\u{a0}"),
    ("ndash", "–"),
    ("mdash", "—"),
    ("hellip", "…"),
    ("lsquo", "‘"),
    ("rsquo", "’"),
    ("ldquo", "“"),
    ("rdquo", "”"),
    ("laquo", "«"),
    ("raquo", "»"),
    ("bull", "•"),
    ("middot", "·"),
    ("copy", "©"),
    ("reg", "®"),
    ("trade", "™"),
    ("euro", "€"),
    ("pound", "£"),
    ("eacute", "é"),
    ("egrave", "è"),
    ("agrave", "à"),
    ("auml", "ä"),
    ("ouml", "ö"),
    ("uuml", "ü"),
    ("szlig", "ß"),
];

/// Decodes, drops what stands before the root and what XML forbids, and gives `<rss>` the version it lacks.
pub(super) fn repair(bytes: &[u8], content_type: Option<&str>) -> Result<String, FeedError> {
    if bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
        return Err(FeedError::EmptyFeed);
    }
    let embedded = declared_encoding(bytes);
    let (text, _) = charset::decode(bytes, content_type, embedded.as_deref())
        .map_err(|error| super::damaged(&error.to_string()))?;
    let text: String = text.chars().filter(|c| is_xml_char(*c)).collect();
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with('{') {
        return Ok(start.to_owned());
    }
    let body = from_root(start)?;
    Ok(name_entities(&with_version(body)))
}

/// Whether the source seems to hold entries, whatever a parser made of it.
pub(super) fn holds_entries(source: &str) -> bool {
    ["<item>", "<item ", "<item\n", "<entry>", "<entry ", "<entry\n", ":item>", ":entry>"]
        .iter()
        .any(|tag| source.contains(tag))
        || (source.starts_with('{')
            && source.contains("\"items\"")
            && !source.replace(char::is_whitespace, "").contains("\"items\":[]"))
}

/// Characters XML 1.0 allows (section 2.2).
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// The encoding of the XML declaration; what follows is transcoded, so it must not reach the parser.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let head: String = bytes.iter().take(1024).map(|&byte| char::from(byte)).collect();
    let declaration = &head[head.find("<?xml")?..];
    let declaration = &declaration[..declaration.find("?>")?];
    let value =
        declaration[declaration.find("encoding")? + "encoding".len()..].trim_start_matches([' ', '=', '"', '\'']);
    Some(value.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_.:".contains(*c)).collect())
}

/// The source from its root element on: without declaration (its encoding is no longer true), comments and junk.
fn from_root(text: &str) -> Result<&str, FeedError> {
    let window = &text[..text.floor_char_boundary(ROOT_WINDOW)];
    let mut at = 0;
    while let Some(open) = window[at..].find('<').map(|offset| at + offset) {
        let rest = &window[open + 1..];
        if rest.starts_with("!--") {
            at = rest.find("-->").map_or(window.len(), |end| open + 1 + end);
            continue;
        }
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, ':' | '-' | '_')).collect();
        let local = name.rsplit(':').next().unwrap_or_default().to_ascii_lowercase();
        match local.as_str() {
            "rss" | "feed" | "rdf" | "channel" => return Ok(&text[open..]),
            "html" | "head" | "body" => return Err(FeedError::NotAFeed { found: "an HTML page".to_owned() }),
            _ => at = open + 1,
        }
    }
    let lower = window.get(..64).unwrap_or(window).to_ascii_lowercase();
    let found = if lower.starts_with("<!doctype html") {
        "an HTML page"
    } else if lower.starts_with('<') {
        "other XML or markup"
    } else {
        "text without any feed in it"
    };
    Err(FeedError::NotAFeed { found: found.to_owned() })
}

/// Gives `<rss>` the version its parser insists on.
fn with_version(body: &str) -> String {
    let Some(rest) = body.strip_prefix("<rss") else {
        return body.to_owned();
    };
    let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
    if tag.contains("version") || !tag.chars().next().is_none_or(|c| c.is_whitespace() || c == '>') {
        return body.to_owned();
    }
    format!("<rss version=\"2.0\"{rest}")
}

/// Writes named HTML entities out, for XML knows five only. CDATA sections are left alone: entities there are HTML's.
fn name_entities(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find(['&', '<']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("<![CDATA[") {
            let end = rest.find("]]>").map_or(rest.len(), |end| end + 3);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if rest.starts_with('<') {
            out.push('<');
            rest = &rest[1..];
        } else {
            rest = push_entity(&mut out, rest);
        }
    }
    out.push_str(rest);
    out
}

/// Handles the `&` at the start of `rest` and gives back what follows.
fn push_entity<'a>(out: &mut String, rest: &'a str) -> &'a str {
    let after = &rest[1..];
    let end = after.bytes().take(12).position(|byte| byte == b';');
    let name = end.map_or("", |end| after.get(..end).unwrap_or_default());
    let is_numeric = name
        .strip_prefix('#')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit() || b == b'x'));
    if matches!(name, "amp" | "lt" | "gt" | "quot" | "apos") || is_numeric {
        out.push('&');
        return after;
    }
    if let Some((_, character)) = ENTITIES.iter().find(|(known, _)| *known == name) {
        out.push_str(character);
        return &after[name.len() + 1..];
    }
    // A bare ampersand, as in an address with a query.
    out.push_str("&amp;");
    after
}
