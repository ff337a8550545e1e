//! Passages of all pages to blocks: headings by size and weight, lines joined, paragraphs continued across columns and
//! pages.

use std::collections::{BTreeSet, HashSet};

use super::flow::{Passage, ends_sentence, leads_to_page, starts_lower};
use crate::document::Builder;
use crate::{BlockKind, table};

/// Text set this much larger than the body is a heading, if it is short.
const HEADING_RATIO: f32 = 1.1;

/// Longest heading, in characters.
const MAX_HEADING: usize = 220;

/// Most levels of headings told apart.
const MAX_LEVELS: usize = 6;

/// A part of the document in reading order.
pub(super) enum Element {
    /// Running text, heading, list item or code.
    Passage(Passage),
    /// A table, with the page it is on.
    Table {
        /// The page, from 1.
        page: u32,
        /// Its cells.
        cells: Vec<Vec<String>>,
    },
}

/// Writes the elements of a document as blocks.
pub(super) fn compose(elements: Vec<Element>, body: f32, builder: &mut Builder) {
    let style = Style::of(&elements, body);
    let words = Vocabulary::of(&elements);
    let mut open: Option<(Passage, String)> = None;
    let mut code: Option<(u32, String)> = None;
    for element in elements {
        let passage = match element {
            Element::Passage(passage) if passage.mono && !style.mono_body => {
                flush(&mut open, builder);
                let text = passage.lines.join("\n");
                match &mut code {
                    Some((_, known)) => *known = format!("{known}\n{text}"),
                    None => code = Some((passage.page, text)),
                }
                continue;
            }
            other => {
                if let Some((page, text)) = code.take() {
                    builder.push(BlockKind::Code, Some(page), &text);
                }
                other
            }
        };
        let passage = match passage {
            Element::Passage(passage) => passage,
            Element::Table { page, cells } => {
                flush(&mut open, builder);
                builder.push(BlockKind::Table, Some(page), &table::to_markdown(&cells));
                continue;
            }
        };
        if let Some(level) = style.heading(&passage) {
            flush(&mut open, builder);
            let number = passage
                .marker
                .as_deref()
                .filter(|marker| *marker != "-")
                .map(|marker| format!("{marker} "))
                .unwrap_or_default();
            let text = format!("{number}{}", joined(&passage.lines, &words));
            builder.push(BlockKind::Heading { level }, Some(passage.page), &text);
        } else {
            let text = joined(&passage.lines, &words);
            match &mut open {
                Some((known, before)) if continues(known, before, &passage, &text) => append(before, &text, &words),
                _ => {
                    flush(&mut open, builder);
                    open = Some((passage, text));
                }
            }
        }
    }
    flush(&mut open, builder);
    if let Some((page, text)) = code {
        builder.push(BlockKind::Code, Some(page), &text);
    }
}

fn flush(open: &mut Option<(Passage, String)>, builder: &mut Builder) {
    let Some((passage, text)) = open.take() else { return };
    match &passage.marker {
        Some(marker) => builder.push(BlockKind::ListItem, Some(passage.page), &format!("{marker} {text}")),
        None => builder.push(BlockKind::Paragraph, Some(passage.page), &text),
    }
}

/// Whether a paragraph goes on in the next column or on the next page.
fn continues(known: &Passage, before: &str, next: &Passage, text: &str) -> bool {
    let alike = (known.size - next.size).abs() < 0.06 * known.size.max(0.1) && known.bold == next.bold && !known.mono;
    let unfinished = !ends_sentence(before) && before.chars().count() > 40;
    alike && next.marker.is_none() && unfinished && starts_lower(text)
}

/// What headings of this document look like.
struct Style {
    body: f32,
    /// Sizes larger than the body's that occur in short passages, in half points, from large to small.
    sizes: Vec<i32>,
    bold_body: bool,
    mono_body: bool,
}

impl Style {
    fn of(elements: &[Element], body: f32) -> Self {
        let passages = || {
            elements.iter().filter_map(|element| match element {
                Element::Passage(passage) => Some(passage),
                Element::Table { .. } => None,
            })
        };
        let total: usize = passages().map(Passage::chars).sum();
        let share = |wanted: fn(&Passage) -> bool| {
            passages().filter(|p| wanted(p)).map(Passage::chars).sum::<usize>() * 10 > total * 6
        };
        let sizes: BTreeSet<i32> =
            passages().filter(|p| is_large(p, body) && is_title_like(p)).map(|p| half_points(p.size)).collect();
        Self {
            body,
            sizes: sizes.into_iter().rev().collect(),
            bold_body: share(|passage| passage.bold),
            mono_body: share(|passage| passage.mono),
        }
    }

    /// The level of a passage that is a heading.
    fn heading(&self, passage: &Passage) -> Option<u8> {
        let bullet = passage.marker.as_deref() == Some("-");
        if bullet || !is_title_like(passage) {
            return None;
        }
        let rank = if is_large(passage, self.body) {
            self.sizes.iter().position(|size| *size == half_points(passage.size))?
        } else {
            let text = passage.lines.join(" ");
            let emphatic = passage.bold && !self.bold_body && passage.size > 0.93 * self.body;
            let short = passage.lines.len() <= 2 && text.chars().count() <= 120;
            if !emphatic || !short || text.trim_end().ends_with(['.', ',', ';', ':']) {
                return None;
            }
            self.sizes.len()
        };
        u8::try_from(rank.min(MAX_LEVELS - 1) + 1).ok()
    }
}

fn is_large(passage: &Passage, body: f32) -> bool {
    passage.size >= HEADING_RATIO * body && passage.size >= body + 0.8
}

/// Short, with letters, and not code.
fn is_title_like(passage: &Passage) -> bool {
    let chars = passage.chars();
    let letters = passage.lines.iter().flat_map(|line| line.chars()).filter(|c| c.is_alphabetic()).count();
    let is_contents = passage.lines.iter().any(|line| leads_to_page(line));
    passage.lines.len() <= 4
        && chars <= MAX_HEADING
        && letters >= 2
        && letters * 3 >= chars
        && !passage.mono
        && !is_contents
}

fn half_points(size: f32) -> i32 {
    (size * 2.0).round() as i32
}

/// First parts of compounds that are hardly ever the first part of a broken word.
const COMPOUNDING: [&str; 20] = [
    "high", "low", "well", "self", "half", "two", "three", "four", "five", "six", "long", "full", "large", "small",
    "non", "cross", "multi", "food", "year", "state",
];

/// What the document's own text says about a hyphen at a line's end.
#[derive(Default)]
struct Vocabulary {
    words: HashSet<String>,
    /// Breaks are marked by soft hyphens: then a hyphen at a line's end is part of its word.
    soft_breaks: bool,
}

impl Vocabulary {
    /// All words in lower case, save the parts left and right of a hyphen at a line's end.
    fn of(elements: &[Element]) -> Self {
        let mut vocabulary = Self::default();
        for element in elements {
            let Element::Passage(passage) = element else { continue };
            let mut broken = false;
            for line in &passage.lines {
                let ends_broken = line.ends_with(['-', '\u{2010}', '\u{ad}']);
                vocabulary.soft_breaks |= line.ends_with('\u{ad}');
                let words: Vec<&str> = line.split_whitespace().collect();
                let whole = usize::from(broken)..words.len().saturating_sub(usize::from(ends_broken));
                for word in words.get(whole).unwrap_or_default() {
                    let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
                    // The parts of a compound are words of their own.
                    vocabulary.words.extend(word.split('-').filter(|part| !part.is_empty()).map(str::to_owned));
                    vocabulary.words.insert(word);
                }
                broken = ends_broken;
            }
        }
        vocabulary
    }

    /// Whether the hyphen at the end of `out` only marks the break of a line.
    fn breaks_word(&self, out: &str, line: &str) -> bool {
        let left = out.split_whitespace().next_back().unwrap_or_default().trim_end_matches(['-', '\u{2010}']);
        let left = left.trim_start_matches(|c: char| !c.is_alphanumeric());
        let right = line.split_whitespace().next().unwrap_or_default().trim_end_matches(|c: char| !c.is_alphanumeric());
        if self.soft_breaks
            || !left.chars().next_back().is_some_and(char::is_alphabetic)
            || !line.starts_with(char::is_lowercase)
        {
            return false;
        }
        let (left, right) = (left.to_lowercase(), right.to_lowercase());
        if self.words.contains(&format!("{left}{right}")) {
            return true;
        }
        let compound = self.words.contains(&format!("{left}-{right}"))
            || left.contains('-')
            || (COMPOUNDING.contains(&left.as_str()) && right.chars().count() >= 4)
            || (left.chars().count() >= 3 && self.words.contains(&left) && self.words.contains(&right));
        !compound
    }
}

fn joined(lines: &[String], words: &Vocabulary) -> String {
    let mut out = String::new();
    for line in lines {
        append(&mut out, line, words);
    }
    out
}

/// Appends a line: with a space, without one between ideographs, or to the word that a hyphen broke.
fn append(out: &mut String, line: &str, words: &Vocabulary) {
    let line = line.trim();
    if out.is_empty() || line.is_empty() {
        out.push_str(line);
        return;
    }
    let last = out.chars().next_back().unwrap_or(' ');
    let next = line.chars().next().unwrap_or(' ');
    let hyphen = matches!(last, '-' | '\u{2010}');
    if last == '\u{ad}' || (hyphen && next.is_alphabetic() && words.breaks_word(out, line)) {
        out.pop();
    } else if hyphen && next.is_alphanumeric() && ends_in_compound(out) {
        // The hyphen belongs to the word, the line break does not.
    } else if !(is_ideograph(last) && is_ideograph(next)) {
        out.push(' ');
    }
    out.push_str(line);
}

fn ends_in_compound(out: &str) -> bool {
    out.chars().rev().nth(1).is_some_and(char::is_alphanumeric)
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}')
}
