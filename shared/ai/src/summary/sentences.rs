//! Text to sentences that may stand in a summary: headings, tables and code are left out, offsets are kept.

use unicode_segmentation::UnicodeSegmentation;

/// Of more sentences than this, the first [`HEAD`] are kept and the rest is thinned out evenly.
const MOST: usize = 4_000;
const HEAD: usize = 1_000;

/// Longer "sentences" are data or text without punctuation, not something to quote.
const LONGEST_BYTES: usize = 1_200;
const FEWEST_WORDS: usize = 4;
/// A paragraph of at most this many words that does not end like a sentence is taken for a heading.
const HEADING_WORDS: usize = 14;

/// A sentence that may be picked.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// Byte offsets into the input.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// White space runs made single spaces.
    pub(crate) text: String,
    /// Whether it opens its paragraph.
    pub(crate) leads: bool,
    /// Place in the whole text, from 0 (first sentence) to 1.
    pub(crate) place: f64,
}

/// A sentence before it is known whether it is kept.
struct Span {
    start: usize,
    end: usize,
    leads: bool,
}

/// The sentences of `text` in order. List items come in only if the prose has fewer than `wanted` sentences.
pub(crate) fn candidates(text: &str, wanted: usize) -> Vec<Candidate> {
    let mut prose = Vec::new();
    let mut items = Vec::new();
    for paragraph in paragraphs(text) {
        let spans = if paragraph.item { &mut items } else { &mut prose };
        split(&paragraph, spans);
    }
    if prose.len() < wanted {
        prose.append(&mut items);
        prose.sort_by_key(|span| span.start);
    }
    let total = prose.len();
    if total > MOST {
        let (rest, slots) = (total - HEAD, MOST - HEAD);
        let picked: Vec<usize> = (0..HEAD).chain((0..slots).map(|slot| HEAD + slot * rest / slots)).collect();
        return picked.iter().map(|index| candidate(text, &prose[*index], *index, total)).collect();
    }
    prose.iter().enumerate().map(|(index, span)| candidate(text, span, index, total)).collect()
}

fn candidate(text: &str, span: &Span, index: usize, total: usize) -> Candidate {
    #[expect(clippy::cast_precision_loss, reason = "no text has 2^52 sentences")]
    let place = index as f64 / (total.max(2) - 1) as f64;
    Candidate {
        start: span.start,
        end: span.end,
        text: single_spaced(&text[span.start..span.end]),
        leads: span.leads,
        place,
    }
}

/// One line's worth: also drops the `>` of a quotation that runs over several lines.
fn single_spaced(sentence: &str) -> String {
    let lines = sentence
        .lines()
        .enumerate()
        .map(|(at, line)| if at == 0 { line } else { line.trim_start_matches([' ', '\t', '>']) });
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// A run of lines that belong together.
struct Paragraph {
    /// Byte offset of `text` in the input.
    start: usize,
    /// The input's bytes with line breaks and markers made spaces, one for one, so that offsets hold.
    text: String,
    lines: usize,
    item: bool,
}

fn paragraphs(text: &str) -> Vec<Paragraph> {
    let mut done = Vec::new();
    let mut open: Option<Paragraph> = None;
    let mut fence: Option<&str> = None;
    let mut at = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let start = at;
        at += line.len();
        let trimmed = line.trim();
        if let Some(mark) = fence {
            if trimmed.starts_with(mark) {
                fence = None;
            }
            continue;
        }
        fence = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        let underline = is_rule(trimmed);
        if underline && open.as_ref().is_some_and(|paragraph| paragraph.lines == 1) {
            // A line underlined is a heading (Markdown's setext form).
            open = None;
        }
        let next = lines.peek().map_or("", |next| next.trim());
        if fence.is_some() || trimmed.is_empty() || underline || is_table_row(trimmed) || is_heading(trimmed, next) {
            done.extend(open.take());
            continue;
        }
        let (marker, item) = marker_bytes(line);
        if item {
            done.extend(open.take());
        }
        let paragraph = open.get_or_insert_with(|| Paragraph { start, text: String::new(), lines: 0, item });
        paragraph.lines += 1;
        paragraph.text.extend(std::iter::repeat_n(' ', marker));
        paragraph.text.extend(line[marker..].chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
    }
    done.extend(open);
    done
}

/// A line of three or more `-`, `=`, `*` or `_` only.
fn is_rule(trimmed: &str) -> bool {
    trimmed.len() >= 3 && ["-", "=", "*", "_"].iter().any(|mark| trimmed.trim_start_matches(mark).is_empty())
}

fn is_table_row(trimmed: &str) -> bool {
    trimmed.starts_with('|') || trimmed.matches(" | ").count() >= 2 || trimmed.matches('\t').count() >= 2
}

/// An ATX heading, or a line much shorter than the one that follows it, which begins anew: text taken from a page
/// layout often has no blank line after a heading, and a wrapped line is never that short.
fn is_heading(trimmed: &str, next: &str) -> bool {
    let marks = trimmed.len() - trimmed.trim_start_matches('#').len();
    if (1..=6).contains(&marks) && trimmed[marks..].starts_with([' ', '\t']) {
        return true;
    }
    let unended = !ends_sentence(trimmed) && !trimmed.ends_with([',', ';', ':', '-']);
    unended
        && trimmed.len() * 5 < next.len() * 3
        && next.starts_with(char::is_uppercase)
        && trimmed.unicode_words().nth(HEADING_WORDS).is_none()
}

/// How many bytes of white space and markers open the line, and whether it is a list item.
fn marker_bytes(line: &str) -> (usize, bool) {
    let body = line.trim_start_matches([' ', '\t', '>']);
    let quoted = line.len() - body.len();
    let bullet = body.strip_prefix(['-', '*', '+', '•', '‣', '–']);
    let digits = body.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = (digits.len() < body.len() && body.len() - digits.len() <= 3)
        .then(|| digits.strip_prefix(['.', ')']))
        .flatten();
    match bullet.or(numbered).filter(|rest| rest.starts_with([' ', '\t'])) {
        Some(rest) => {
            // Spaces stand for the marker byte by byte, so a bullet of three bytes keeps its width.
            (quoted + body.len() - rest.trim_start_matches([' ', '\t']).len(), true)
        }
        None => (quoted, false),
    }
}

fn split(paragraph: &Paragraph, spans: &mut Vec<Span>) {
    let whole = paragraph.text.trim();
    if !ends_sentence(whole) && whole.unicode_words().nth(HEADING_WORDS).is_none() {
        return;
    }
    let mut leads = true;
    let mut start = 0;
    let pieces: Vec<(usize, &str)> = paragraph.text.split_sentence_bound_indices().collect();
    for (index, (at, piece)) in pieces.iter().enumerate() {
        let end = at + piece.len();
        let next = pieces.get(index + 1).map_or("", |(_, next)| *next);
        if !next.is_empty() && end - start <= LONGEST_BYTES && ends_with_abbreviation(&paragraph.text[start..end], next)
        {
            continue;
        }
        let raw = &paragraph.text[start..end];
        let sentence = raw.trim();
        if is_quotable(sentence) {
            let first = paragraph.start + start + (raw.len() - raw.trim_start().len());
            spans.push(Span { start: first, end: first + sentence.len(), leads });
            leads = false;
        }
        start = end;
    }
}

fn ends_sentence(text: &str) -> bool {
    text.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»', '*', '_'])
        .ends_with(['.', '!', '?', '…', '。', '！', '？', '।', '؟'])
}

/// Long enough to say something, short enough to quote, and made of words rather than figures.
fn is_quotable(sentence: &str) -> bool {
    if sentence.len() > LONGEST_BYTES {
        return false;
    }
    let (mut letters, mut others, mut cased, mut lower) = (0_usize, 0_usize, false, false);
    for c in sentence.chars().filter(|c| !c.is_whitespace()) {
        if c.is_alphabetic() {
            letters += 1;
        } else {
            others += 1;
        }
        lower |= c.is_lowercase();
        cased |= c.is_uppercase();
    }
    let shouted = cased && !lower;
    let words = sentence.unicode_words().take(2 * FEWEST_WORDS).count();
    let enough = if ends_sentence(sentence) { words >= FEWEST_WORDS } else { words >= 2 * FEWEST_WORDS };
    enough && letters > others * 2 && !shouted
}

/// Whether the full stop at the end of `so_far` belongs to an abbreviation, so that the sentence goes on in `next`.
fn ends_with_abbreviation(so_far: &str, next: &str) -> bool {
    let Some(last) = so_far.trim_end().strip_suffix('.').and_then(|text| text.rsplit([' ', '(', '[', '"', '“']).next())
    else {
        return false;
    };
    let lowered = last.to_lowercase();
    if matches!(lowered.as_str(), "no" | "p" | "pp" | "art") {
        return next.starts_with(|c: char| c.is_ascii_digit());
    }
    let mut letters = last.chars();
    let initial = matches!((letters.next(), letters.next()), (Some(c), None) if c.is_uppercase() && c != 'I');
    // `U.S`, `e.g`, `a.m`: single letters with stops between.
    let dotted = last.contains('.')
        && last.split('.').all(|part| part.chars().count() == 1 && part.chars().all(char::is_alphabetic));
    initial || dotted || ABBREVIATIONS.binary_search(&lowered.as_str()).is_ok()
}

/// Abbreviations after which a sentence rarely ends, sorted for binary search. `etc.` and `Inc.` often end one.
#[rustfmt::skip]
const ABBREVIATIONS: &[&str] = &[
    "adm", "al", "approx", "apr", "aug", "bzw", "ca", "capt", "cf", "col", "dec", "dept", "dr", "ed", "eds", "eq", "eqs", "est", "feb", "fig", "figs",
    "gen", "gov", "hon", "jan", "jr", "lt", "maj", "messrs", "mr", "mrs", "ms", "mt", "nov", "nr", "oct", "prof", "rep", "rev", "sec", "sen", "sept",
    "sgt", "sr", "st", "tab", "univ", "viz", "vol", "vs",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(input: &str) -> Vec<String> {
        candidates(input, 0).into_iter().map(|candidate| candidate.text).collect()
    }

    #[test]
    fn abbreviations_are_sorted_so_that_each_is_found() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn a_full_stop_in_an_abbreviation_ends_nothing() {
        let input = "Dr. J. R. Smith of the U.S. Navy saw approx. 3.5 t of ore, e.g. Galena, in No. 7. He left at once for home.";
        assert_eq!(
            texts(input),
            [
                "Dr. J. R. Smith of the U.S. Navy saw approx. 3.5 t of ore, e.g. Galena, in No. 7.",
                "He left at once for home."
            ]
        );
    }

    #[test]
    fn headings_tables_and_code_are_no_sentences() {
        let input = "# A title that ends like a sentence.\n\nOverview\n========\n\nThe mill grinds grain\nall day long.\n\n| a | b |\n|---|---|\n| 1 | two words here now. |\n\n```\nlet x = 1; // this is a comment in code.\n```\n\nCHAPTER ONE\n\nIntroduction\nThe second paragraph follows its heading without any blank line between.\n";
        assert_eq!(
            texts(input),
            [
                "The mill grinds grain all day long.",
                "The second paragraph follows its heading without any blank line between."
            ]
        );
    }

    #[test]
    fn list_items_come_in_only_without_prose() {
        let input = "Two things follow from this finding.\n\n• The first thing is quite long and important.\n2) The second thing is also a sentence.\n- short\n";
        assert_eq!(texts(input), ["Two things follow from this finding."]);
        let with_items: Vec<_> = candidates(input, 3).into_iter().map(|candidate| candidate.text).collect();
        assert_eq!(
            with_items,
            [
                "Two things follow from this finding.",
                "The first thing is quite long and important.",
                "The second thing is also a sentence."
            ]
        );
    }
}
