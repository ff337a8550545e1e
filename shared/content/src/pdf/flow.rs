//! Rows of a zone to paragraphs, headings, list items and code.

use std::collections::HashMap;

use super::grid::Row;
use super::order::median;

/// A line of a zone.
#[derive(Debug, Clone)]
struct Line {
    text: String,
    first: String,
    /// Where the second word begins: the hanging indent of a list item.
    second_x0: Option<f32>,
    x0: f32,
    x1: f32,
    y: f32,
    size: f32,
    bold: bool,
    mono: bool,
}

impl Line {
    fn of(row: &Row) -> Option<Self> {
        let largest = row.iter().max_by(|a, b| a.chars().cmp(&b.chars()))?;
        let words = || row.iter().flat_map(|segment| &segment.words);
        let chars: usize = row.iter().map(super::lines::Segment::chars).sum();
        let share = |wanted: fn(&super::lines::Segment) -> bool| {
            row.iter().filter(|segment| wanted(segment)).map(super::lines::Segment::chars).sum::<usize>() * 2 > chars
        };
        Some(Self {
            text: row.iter().map(super::lines::Segment::text).collect::<Vec<_>>().join(" "),
            first: words().next()?.text.clone(),
            second_x0: words().nth(1).map(|word| word.x0),
            x0: row.iter().map(|s| s.x0).fold(f32::INFINITY, f32::min),
            x1: row.iter().map(|s| s.x1).fold(f32::NEG_INFINITY, f32::max),
            y: largest.y,
            size: largest.size,
            bold: share(|segment| segment.bold),
            mono: share(|segment| segment.mono),
        })
    }

    fn ends_sentence(&self) -> bool {
        ends_sentence(&self.text)
    }
}

/// Lines that belong together, before it is known what the document's headings look like.
#[derive(Debug, Clone)]
pub(super) struct Passage {
    pub(super) page: u32,
    /// One entry a line.
    pub(super) lines: Vec<String>,
    pub(super) size: f32,
    pub(super) bold: bool,
    pub(super) mono: bool,
    /// The list marker it began with, taken off its first line.
    pub(super) marker: Option<String>,
}

impl Passage {
    pub(super) fn chars(&self) -> usize {
        self.lines.iter().map(|line| line.chars().count()).sum()
    }
}

/// Parts the rows of a zone into passages.
pub(super) fn passages(rows: &[Row], page: u32) -> Vec<Passage> {
    let mut lines: Vec<Line> = rows.iter().filter_map(Line::of).collect();
    spread_mono(&mut lines);
    let shape = Shape::of(&lines);
    let mut out: Vec<Vec<Line>> = Vec::new();
    for line in lines {
        match out.last_mut() {
            Some(open) if !shape.breaks(open, &line) => open.push(line),
            _ => out.push(vec![line]),
        }
    }
    out.into_iter().map(|lines| close(&lines, page)).collect()
}

/// A bracket alone shows no typeface: it takes that of the line above or below.
fn spread_mono(lines: &mut [Line]) {
    for index in 0..lines.len() {
        let alike = |other: Option<&Line>| {
            other.is_some_and(|other| other.mono && (other.size - lines[index].size).abs() < 0.5)
        };
        if lines[index].text.chars().count() <= 3
            && (alike(index.checked_sub(1).map(|above| &lines[above])) || alike(lines.get(index + 1)))
        {
            lines[index].mono = true;
        }
    }
}

/// What the lines of a zone have in common.
struct Shape {
    left: f32,
    right: f32,
    /// Most frequent distance of baselines, in ems, per rounded font size.
    leading: HashMap<i32, f32>,
}

impl Shape {
    fn of(lines: &[Line]) -> Self {
        let mut leading: HashMap<i32, Vec<f32>> = HashMap::new();
        for pair in lines.windows(2) {
            let step = (pair[1].y - pair[0].y) / pair[0].size.max(0.1);
            if (pair[0].size - pair[1].size).abs() < 0.05 * pair[0].size && (0.8..2.6).contains(&step) {
                leading.entry(rounded(pair[0].size)).or_default().push(step);
            }
        }
        Self {
            left: frequent_left(lines),
            right: lines.iter().map(|line| line.x1).fold(f32::NEG_INFINITY, f32::max),
            leading: leading.into_iter().map(|(size, steps)| (size, tight_mode(steps))).collect(),
        }
    }

    /// Whether `next` begins a new passage after the lines so far.
    fn breaks(&self, open: &[Line], next: &Line) -> bool {
        let Some(last) = open.last() else { return true };
        let em = last.size.max(0.1);
        let step = (next.y - last.y) / em;
        let leading = self.leading.get(&rounded(last.size)).copied().unwrap_or(1.3);
        if step < 0.0 || step > leading * 1.25 + 0.12 || (next.size / em - 1.0).abs() > 0.12 || next.mono != last.mono {
            return true;
        }
        if next.mono {
            return false;
        }
        if leads_to_page(&last.text) || leads_to_page(&next.text) {
            return true;
        }
        let short = last.x1 < self.right - 3.0 * em;
        if next.bold != last.bold && (short || last.ends_sentence() || open.len() == 1) && (short || !last.bold) {
            return true;
        }
        if marker(&next.first).is_some() && next.second_x0.is_some() && !is_continued_number(&last.text, &next.first) {
            return true;
        }
        let first = &open[0];
        if let (Some(_), Some(hanging)) = (marker(&first.first), first.second_x0) {
            return next.x0 < hanging - 0.7 * em && (last.ends_sentence() || short) && next.x0 <= first.x0 + 0.3 * em;
        }
        let indent = next.x0 - self.left;
        let indented = indent > 0.7 * em && indent < 5.0 * em && (last.x0 - self.left).abs() < 0.5 * em;
        let returned = open.len() > 1 && last.x0 - next.x0 > 2.0 * em && (last.x0 - first.x0).abs() < 0.5 * em;
        let ended = short
            && last.ends_sentence()
            && last.x1 < self.left + 0.75 * (self.right - self.left)
            && !starts_lower(&next.text);
        indented || returned || ended
    }
}

fn close(lines: &[Line], page: u32) -> Passage {
    let mono = lines.iter().all(|line| line.mono);
    let chars: usize = lines.iter().map(|line| line.text.chars().count()).sum();
    let bold = lines.iter().filter(|line| line.bold).map(|line| line.text.chars().count()).sum::<usize>() * 2 > chars;
    let marker = lines
        .first()
        .filter(|line| line.second_x0.is_some() || attached(&line.first))
        .and_then(|line| marker(&line.first));
    let texts = if mono { indented(lines) } else { lines.iter().map(|line| line.text.clone()).collect() };
    let mut passage = Passage {
        page,
        lines: texts,
        size: median(lines.iter().map(|line| line.size)).unwrap_or(0.0),
        bold,
        mono,
        marker: None,
    };
    if let (Some(marker), Some(first), false) = (marker, passage.lines.first_mut(), mono) {
        let rest = first.trim_start().strip_prefix(marker.drawn.as_str()).unwrap_or(first).trim_start().to_owned();
        *first = rest;
        passage.marker = Some(marker.written);
    }
    passage
}

/// Lines of code with the indentation their position shows.
fn indented(lines: &[Line]) -> Vec<String> {
    let left = lines.iter().map(|line| line.x0).fold(f32::INFINITY, f32::min);
    lines
        .iter()
        .map(|line| {
            let advance = (line.x1 - line.x0) / line.text.chars().count().max(1) as f32;
            let columns =
                if advance > 0.1 { ((line.x0 - left) / advance).round().clamp(0.0, 80.0) as usize } else { 0 };
            format!("{}{}", " ".repeat(columns), line.text)
        })
        .collect()
}

/// A list marker as it is drawn and as it is written.
pub(super) struct Marker {
    drawn: String,
    written: String,
}

/// The marker a word is, or begins with if it is a bullet.
pub(super) fn marker(word: &str) -> Option<Marker> {
    const BULLETS: [char; 18] =
        ['•', '‣', '◦', '▪', '▫', '●', '○', '■', '□', '▶', '►', '➢', '✓', '✔', '∙', '⁃', '➤', '❖'];
    let first = word.chars().next()?;
    if BULLETS.contains(&first) {
        return Some(Marker { drawn: first.to_string(), written: "-".to_owned() });
    }
    if matches!(word, "-" | "–" | "—" | "*" | "·" | "o") {
        return Some(Marker { drawn: word.to_owned(), written: "-".to_owned() });
    }
    let inner = word.strip_prefix('(').unwrap_or(word);
    let label = inner.strip_suffix([')', '.'])?;
    let numbered = (1..=3).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_digit());
    let lettered = label.len() == 1 && label.bytes().all(|b| b.is_ascii_lowercase());
    let roman = (1..=4).contains(&label.len()) && label.bytes().all(|b| b"ivx".contains(&b));
    (numbered || lettered || roman).then(|| Marker { drawn: word.to_owned(), written: word.to_owned() })
}

/// A bullet without a space after it.
fn attached(word: &str) -> bool {
    word.chars().count() > 1 && marker(word).is_some_and(|marker| marker.drawn.chars().count() == 1)
}

/// "see section\n3. of": a number at a line's start that continues the sentence is no marker.
fn is_continued_number(above: &str, word: &str) -> bool {
    let references = [
        "section", "chapter", "figure", "fig.", "table", "page", "no.", "eq.", "equation", "version", "and", "to", "of",
    ];
    let last = above.split_whitespace().next_back().unwrap_or_default().to_lowercase();
    word.starts_with(|c: char| c.is_ascii_digit()) && references.contains(&last.as_str())
}

/// A line of a table of contents: dots, then a page number.
pub(super) fn leads_to_page(text: &str) -> bool {
    let rest = text.trim_end().trim_end_matches(|c: char| c.is_ascii_digit() || "ivxlc".contains(c));
    let dots = rest.chars().rev().filter(|c| !c.is_whitespace()).take_while(|c| matches!(c, '.' | '·' | '…')).count();
    rest.len() < text.trim_end().len() && dots >= 3
}

pub(super) fn ends_sentence(text: &str) -> bool {
    text.trim_end()
        .trim_end_matches(['"', '”', '’', ')', ']', '»'])
        .ends_with(['.', '!', '?', ':', ';', '。', '！', '？', '…'])
}

pub(super) fn starts_lower(text: &str) -> bool {
    text.trim_start().chars().next().is_some_and(char::is_lowercase)
}

fn rounded(size: f32) -> i32 {
    (size * 2.0).round() as i32
}

/// The smallest left edge that at least a fifth of the lines share.
fn frequent_left(lines: &[Line]) -> f32 {
    let mut edges: Vec<f32> = lines.iter().map(|line| line.x0).collect();
    edges.sort_by(f32::total_cmp);
    let needed = (edges.len() / 5).max(1);
    let found = (0..edges.len()).find(|&at| edges[at..].iter().take_while(|x| **x - edges[at] < 2.0).count() >= needed);
    found.map_or(0.0, |at| edges[at])
}

/// The most frequent step; where steps are scattered, a tight one, for the wide ones part paragraphs.
fn tight_mode(mut steps: Vec<f32>) -> f32 {
    steps.sort_by(f32::total_cmp);
    let count_near = |value: f32| steps.iter().filter(|step| (**step - value).abs() < 0.06).count();
    let best = steps.iter().copied().max_by(|a, b| count_near(*a).cmp(&count_near(*b)).then(b.total_cmp(a)));
    let quartile = steps[steps.len() / 4];
    best.map_or(quartile, |best| if count_near(best) * 3 >= steps.len() { best } else { quartile })
}
