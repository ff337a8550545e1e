//! What stands in the body of an (X)HTML document, as a fragment that an HTML parser reads as it was meant.

/// Elements that have no end tag in HTML (WHATWG HTML, 13.1.2).
const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// The body of a document, or all of it if it has none; elements that XML closes at once (`<a id="x"/>`), which HTML
/// leaves open, have an end tag.
pub(crate) fn body(source: &str) -> String {
    let body = inside(source);
    let mut out = String::with_capacity(body.len() + 64);
    let mut rest = body;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end =
            if rest.starts_with("<!--") { rest.find("-->").map_or(rest.len(), |end| end + 3) } else { tag_end(rest) };
        let tag = &rest[..end];
        rest = &rest[end..];
        let closed = tag.strip_suffix("/>").map(|open| (open, name(open)));
        match closed {
            Some((open, name)) if !name.is_empty() && !VOID.contains(&name.to_ascii_lowercase().as_str()) => {
                out.push_str(open);
                out.push_str("></");
                out.push_str(name);
                out.push('>');
            }
            _ => out.push_str(tag),
        }
    }
    out + rest
}

/// What stands between the tags of the body.
fn inside(source: &str) -> &str {
    let lower = source.to_ascii_lowercase();
    let open = lower.match_indices("<body").map(|(at, _)| at).find(|at| {
        lower.as_bytes().get(at + 5).is_none_or(|after| matches!(after, b'>' | b'/') || after.is_ascii_whitespace())
    });
    let Some(open) = open else { return source };
    let start = open + tag_end(&source[open..]);
    let end = lower[start..].rfind("</body").map_or(source.len(), |end| start + end);
    &source[start..end]
}

/// Where the tag ends that a source begins with; a sign in a quoted value does not count.
fn tag_end(source: &str) -> usize {
    let mut quote = None;
    for (at, byte) in source.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    source.len()
}

fn name(tag: &str) -> &str {
    let name = tag.trim_start_matches('<');
    &name[..name.find(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or(name.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_closes_at_once_is_closed_for_html() {
        let source = "<html><head><title>x</title></head><BODY class='a>b'><p/>One<br/><a id=\"x/>\" />two<!-- <i/> --><svg:g/></BODY></html>";
        assert_eq!(body(source), "<p></p>One<br/><a id=\"x/>\" ></a>two<!-- <i/> --><svg:g></svg:g>");
        assert_eq!(body("a < b <p"), "a < b <p");
        assert_eq!(body("<p>no body</p>"), "<p>no body</p>");
    }
}
