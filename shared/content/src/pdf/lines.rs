//! Glyphs to segments: words on one baseline without a wide gap between them.

use super::glyphs::Glyph;
use super::{accents, bidi};

/// A gap wider than this many ems ends a segment: a column gutter or the space between table cells.
const SEGMENT_GAP: f32 = 0.8;

/// A gap wider than this many ems parts words where the text draws no spaces.
const WORD_GAP: f32 = 0.17;

/// A gap wider than this many ems parts words however far the letters are spaced out.
const MAX_WORD_GAP: f32 = 0.5;

/// A word and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) x0: f32,
    pub(super) x1: f32,
}

/// Words on one baseline.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) words: Vec<Word>,
    pub(super) x0: f32,
    pub(super) x1: f32,
    /// The baseline.
    pub(super) y: f32,
    pub(super) size: f32,
    /// Whether most of it is bold.
    pub(super) bold: bool,
    /// Whether most of it is monospaced.
    pub(super) mono: bool,
}

impl Segment {
    /// Its words in reading order.
    pub(super) fn text(&self) -> String {
        self.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn chars(&self) -> usize {
        self.words.iter().map(|word| word.text.chars().count()).sum()
    }

    /// Whether two segments stand in one row.
    pub(super) fn same_row(&self, other: &Self) -> bool {
        (self.y - other.y).abs() <= 0.35 * self.size.min(other.size)
    }
}

/// Glyphs that follow one another on a baseline, before they are cut into words.
struct Run {
    glyphs: Vec<Glyph>,
    /// Where the last visible glyph stands.
    last: (f32, f32),
    x0: f32,
    x1: f32,
    y: f32,
    size: f32,
}

impl Run {
    fn new(glyph: Glyph) -> Self {
        Self {
            x0: glyph.x0,
            x1: glyph.x1,
            y: glyph.y,
            size: glyph.size,
            last: (glyph.x0, glyph.x1),
            glyphs: vec![glyph],
        }
    }

    /// Whether a glyph goes on where the last one ended, to the right or, in Hebrew and Arabic, to the left.
    fn goes_on(&self, glyph: &Glyph) -> bool {
        let gap = (glyph.x0 - self.last.1).max(self.last.0 - glyph.x1);
        self.shares_line(glyph.y, glyph.size) && gap < SEGMENT_GAP * self.size.max(glyph.size)
    }

    /// Whether another run belongs to this one: on its line, near to either end or in a gap within it, not upon it.
    fn takes(&self, other: &Self) -> bool {
        let larger = self.size.max(other.size);
        let gap = (other.x0 - self.x1).max(self.x0 - other.x1);
        self.shares_line(other.y, other.size)
            && gap < SEGMENT_GAP * larger
            && (gap > -0.3 * larger || !collide(&self.glyphs, &other.glyphs))
    }

    fn shares_line(&self, y: f32, size: f32) -> bool {
        let larger = self.size.max(size);
        let (top, bottom) =
            ((self.y - 0.75 * self.size).max(y - 0.75 * size), (self.y + 0.2 * self.size).min(y + 0.2 * size));
        let overlap = (bottom - top) / (0.95 * self.size.min(size));
        overlap > 0.5 && (y - self.y).abs() < 0.5 * larger
    }

    fn absorb(&mut self, other: Self) {
        // The larger part gives line and size: an index or exponent does not.
        if other.size > self.size * 1.05 || (other.size > self.size * 0.95 && other.glyphs.len() > self.glyphs.len()) {
            (self.y, self.size) = (other.y, other.size);
        }
        self.x0 = self.x0.min(other.x0);
        self.x1 = self.x1.max(other.x1);
        self.last = other.last;
        self.glyphs.extend(other.glyphs);
    }
}

/// Whether two runs are drawn upon one another, as are lines set too tight or the fields of a form: in one line their
/// letters would be mixed up. Marks and accents do stand upon letters.
fn collide(a: &[Glyph], b: &[Glyph]) -> bool {
    let spans = |glyphs: &[Glyph]| {
        let visible = glyphs.iter().filter(|glyph| !glyph.text.trim().is_empty() && !accents::is_accent(&glyph.text));
        let mut spans: Vec<(f32, f32)> = visible.map(|glyph| (glyph.x0, glyph.x1)).collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        spans
    };
    let (a, b) = (spans(a), spans(b));
    let (mut at, mut upon) = (0, 0);
    for &(x0, x1) in &b {
        while at < a.len() && a[at].1 <= x0 {
            at += 1;
        }
        let shared = a[at..].iter().take(3).map(|known| known.1.min(x1) - known.0.max(x0)).fold(0.0, f32::max);
        upon += usize::from(shared > 0.4 * (x1 - x0));
    }
    upon > 0 && upon * 3 >= a.len().min(b.len())
}

/// Builds the segments of a frame, ordered by baseline, then from left to right.
pub(super) fn segments(glyphs: Vec<Glyph>) -> Vec<Segment> {
    let mut runs: Vec<Run> = Vec::new();
    for glyph in glyphs {
        let is_space = glyph.text.trim().is_empty();
        match runs.last_mut() {
            // A space draws nothing: it must not carry a run across a gutter.
            Some(run) if is_space => {
                if run.goes_on(&glyph) {
                    run.glyphs.push(glyph);
                }
            }
            None if is_space => {}
            Some(run) if run.goes_on(&glyph) => run.absorb(Run::new(glyph)),
            _ => runs.push(Run::new(glyph)),
        }
    }
    let mut segments: Vec<Segment> = merged(runs).into_iter().filter_map(cut).collect();
    segments.sort_by(|a, b| a.y.total_cmp(&b.y).then(a.x0.total_cmp(&b.x0)));
    segments
}

/// Joins runs of one line that were drawn apart.
fn merged(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_by(|a, b| a.y.total_cmp(&b.y).then(a.x0.total_cmp(&b.x0)));
    let mut lines: Vec<Run> = Vec::new();
    for run in runs {
        let near = lines.iter_mut().rev().take(48).find(|line| line.takes(&run));
        match near {
            Some(line) => line.absorb(run),
            None => lines.push(run),
        }
    }
    // A run that came between two others may have brought them into reach of one another.
    let mut joined: Vec<Run> = Vec::new();
    for line in lines {
        match joined.iter_mut().rev().take(48).find(|known| known.takes(&line)) {
            Some(known) => known.absorb(line),
            None => joined.push(line),
        }
    }
    joined
}

/// Cuts a run into words.
fn cut(mut run: Run) -> Option<Segment> {
    run.glyphs.sort_by(|a, b| a.x0.total_cmp(&b.x0));
    accents::attach(&mut run.glyphs);
    let visible: Vec<&Glyph> = run.glyphs.iter().filter(|glyph| !glyph.text.trim().is_empty()).collect();
    let threshold = word_gap(&run.glyphs, &visible);
    let mut words: Vec<Word> = Vec::new();
    let mut break_before = true;
    let mut last: Option<&Glyph> = None;
    for glyph in &run.glyphs {
        if glyph.text.trim().is_empty() {
            // A space under a letter is none.
            break_before |= last.is_none_or(|last| glyph.x0 + 0.5 * (glyph.x1 - glyph.x0) > last.x1 - 0.05 * last.size);
            continue;
        }
        if let Some(last) = last {
            let gap = glyph.x0 - last.x1;
            let wide = is_wide(&last.text) && is_wide(&glyph.text);
            // Numbers placed one by one, as along an axis, are no digits of one.
            let digits = last.run != glyph.run && is_digit(&last.text) && is_digit(&glyph.text);
            let threshold = if digits { threshold.min(0.11) } else { threshold };
            break_before |= gap > threshold * last.size.max(glyph.size) * if wide { 3.0 } else { 1.0 };
        }
        match words.last_mut() {
            Some(word) if !break_before => {
                word.text.push_str(&bidi::drawn(&glyph.text));
                word.x1 = word.x1.max(glyph.x1);
            }
            _ => words.push(Word { text: bidi::drawn(glyph.text.trim()), x0: glyph.x0, x1: glyph.x1 }),
        }
        break_before = false;
        last = Some(glyph);
    }
    let count = visible.len();
    let (bold, mono) = (
        visible.iter().filter(|g| g.bold).count() * 2 > count,
        visible.iter().filter(|g| g.mono).count() * 2 > count || is_typewritten(&visible),
    );
    if words.is_empty() {
        return None;
    }
    bidi::to_logical(&mut words);
    Some(Segment { words, x0: run.x0, x1: run.x1, y: run.y, size: run.size, bold, mono })
}

/// The gap that parts words, in ems: more where spaces are drawn anyway, more where letters are spaced out, less where
/// words are set tight and their gaps still stand out.
fn word_gap(all: &[Glyph], visible: &[&Glyph]) -> f32 {
    let spaces = all.len() - visible.len();
    // The dots of a leader are spaced out on purpose.
    let pairs =
        visible.windows(2).filter(|pair| !pair.iter().any(|glyph| matches!(glyph.text.as_str(), "." | "·" | "_")));
    let mut gaps: Vec<f32> = pairs.map(|pair| (pair[1].x0 - pair[0].x1) / pair[0].size.max(0.1)).collect();
    let drawn = spaces * 14 >= visible.len() && spaces > 0;
    let base = if drawn { 0.2 } else { WORD_GAP };
    if gaps.len() < 4 {
        return base;
    }
    gaps.sort_by(f32::total_cmp);
    // In spaced-out text even the narrow gaps are wide; in a formula only some are.
    let narrow = gaps[gaps.len() / 4];
    if narrow > 0.08 {
        return (narrow * 1.6 + 0.08).min(MAX_WORD_GAP);
    }
    if drawn || gaps.len() < 12 {
        return base;
    }
    // Few gaps lie between those of letters and those of words: the widest stretch without any parts the two.
    let step = gaps
        .windows(2)
        .filter(|pair| pair[0] < 0.07 && pair[1] > 0.09 && pair[1] < base + 0.05)
        .max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0])));
    step.filter(|pair| pair[1] - pair[0] > 0.06).map_or(base, |pair| 0.5 * (pair[0] + pair[1]))
}

fn is_digit(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether narrow and wide letters have one width: the standard fonts do not say that they are monospaced.
fn is_typewritten(visible: &[&Glyph]) -> bool {
    let widths = || visible.iter().map(|glyph| (glyph.x1 - glyph.x0) / glyph.size.max(0.1));
    let (least, most) =
        widths().fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), width| (least.min(width), most.max(width)));
    let narrow = visible.iter().any(|glyph| glyph.text.chars().all(|c| "iljtfrI.,:;'!|()[]/".contains(c)));
    let wide = visible.iter().any(|glyph| glyph.text.chars().all(|c| "mwMWabcdeghknopqsuvxyzABCDEGH=<>#".contains(c)));
    visible.len() >= 3 && narrow && wide && most - least < 0.02 && most > 0.4
}

/// Scripts written without spaces.
fn is_wide(text: &str) -> bool {
    text.chars().next().is_some_and(|c| {
        matches!(c, '\u{2e80}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}')
    })
}
