//! The one place where control characters end: no string leaves this crate without having passed here.
//!
//! Postgres refuses U+0000 in text and in JSON, terminals obey escapes, and no reader wants any of them. They come in
//! by stray bytes and, past any filter of the bytes, by escapes such as `&#1;` and `\u0000`.

/// Text of several lines: every kind of line end becomes a line feed; of the control characters (C0, DEL and C1) only
/// line feed and tab remain.
pub(crate) fn text(dirty: &str) -> String {
    let unified = dirty.replace("\r\n", "\n");
    unified.chars().map(|c| if ends_line(c) { '\n' } else { c }).filter(|c| !c.is_control() || is_kept(*c)).collect()
}

/// Text of one line, such as a title, a name or an address: line ends and tabs become spaces, other control characters
/// are dropped, white space around it too. None if nothing remains.
pub(crate) fn line(dirty: &str) -> Option<String> {
    let spaced = dirty.chars().map(|c| if ends_line(c) || c == '\t' { ' ' } else { c });
    let clean: String = spaced.filter(|c| !c.is_control()).collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

/// The first `most` characters, cut at the end of a word where one ends in the second half; an ellipsis, which counts,
/// shows the cut.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.char_indices().nth(most).is_none() {
        return text.to_owned();
    }
    let end = text.char_indices().nth(most.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    // A word that ends exactly at the limit is whole.
    let whole = text[end..].starts_with(char::is_whitespace);
    let space = text[..end].rfind(char::is_whitespace).filter(|at| *at >= end / 2 && !whole);
    format!("{}…", text[..space.unwrap_or(end)].trim_end())
}

/// Characters that end a line: those of Unicode Standard Annex #14, classes BK, CR, LF and NL.
fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_kept(c: char) -> bool {
    matches!(c, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_go_and_lines_stay_apart() {
        assert_eq!(text("a\r\nb\rc\u{c}d\0\u{1b}[1m\te\u{9b}"), "a\nb\nc\nd[1m\te");
        assert_eq!(line(" A\r\n\ttitle\0 \u{7f}").as_deref(), Some("A   title"));
        assert_eq!(line("\0 \n\u{1}"), None);
    }

    #[test]
    fn what_is_long_is_cut_between_words() {
        assert_eq!(shortened("one two three", 13), "one two three");
        assert_eq!(shortened("one two three", 12), "one two…");
        assert_eq!(shortened("one two three", 8), "one two…");
        assert_eq!(shortened("日本語の長い見出し", 5), "日本語の…");
        assert_eq!(shortened(&"x".repeat(50), 10).chars().count(), 10);
    }
}
