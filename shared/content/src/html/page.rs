//! A page as a whole, and the figures of each piece in it.

use std::collections::HashMap;

use super::features::{CONTAINERS, Row, Signs, letters};
use super::hints;
use super::outline::{Outline, Piece, Totals, share};
use super::phrases;

/// How far up an element's surroundings are looked at.
const LEVELS: usize = 14;

/// The distance to what is not there.
const ABSENT: f32 = 20.0;

/// What is true of the whole page.
pub(super) struct Page<'o> {
    outline: &'o Outline,
    signs: Signs,
    title: String,
    totals: Totals,
    long_pieces: u32,
    /// Characters before each piece.
    before: Vec<u32>,
    /// Long pieces before each piece.
    long_before: Vec<u32>,
    /// Where the last heading that repeats the title stands, else the first of the first level.
    headline: Option<usize>,
    headings: u32,
    articles: u32,
    mains: u32,
    forms: u32,
    /// For ancestors of the candidate for the article, and for itself, how far it is below them.
    below: Vec<Option<usize>>,
    /// How often each text occurs.
    repeated: HashMap<&'o str, u32>,
    longest: u32,
}

impl<'o> Page<'o> {
    /// Counts what is true of the page.
    pub(super) fn of(outline: &'o Outline, title: &str, signs: Signs) -> Self {
        let title = letters(title);
        let (mut before, mut long_before) = (Vec::new(), Vec::new());
        let (mut chars, mut long_pieces) = (0, 0);
        let mut repeated = HashMap::new();
        for piece in &outline.pieces {
            before.push(chars);
            long_before.push(long_pieces);
            chars += piece.chars;
            long_pieces += u32::from(piece.is_long());
            *repeated.entry(piece.text.as_str()).or_default() += 1;
        }
        let kind = |piece: &Piece| outline.elements[piece.block].kind;
        let is_title = |piece: &Piece| {
            let own = letters(&piece.text);
            own.len() > 5 && title.starts_with(&own)
        };
        let pieces = || outline.pieces.iter().enumerate();
        let headline = pieces()
            .filter(|(_, piece)| (10..=12).contains(&kind(piece)))
            .find(|(_, piece)| is_title(piece))
            .or_else(|| pieces().find(|(_, piece)| kind(piece) == 10))
            .map(|(at, _)| at);
        let count = |wanted: &[u8]| {
            u32::try_from(outline.elements.iter().filter(|element| wanted.contains(&element.kind)).count())
                .unwrap_or(u32::MAX)
        };
        let mut below = vec![None; outline.elements.len()];
        for (down, (at, _)) in outline.upwards(outline.candidate, 60).enumerate() {
            below[at] = Some(down);
        }
        Self {
            outline,
            below,
            signs,
            totals: outline.elements.first().map(|root| root.totals).unwrap_or_default(),
            long_pieces,
            before,
            long_before,
            headline,
            headings: count(&[10, 11, 12, 13]),
            articles: count(&[20]),
            mains: count(&[21]),
            forms: count(&[43]),
            repeated,
            longest: outline.pieces.iter().map(|piece| piece.chars).max().unwrap_or(0),
            title,
        }
    }

    /// Puts all figures of one piece into a row.
    pub(super) fn describe(&self, row: &mut Row, at: usize, containers: &[usize; CONTAINERS]) {
        let piece = &self.outline.pieces[at];
        self.text(row, piece);
        self.place(row, at, piece);
        self.surroundings(row, piece);
        self.containers(row, piece, containers);
        self.likes(row, piece);
        self.neighbours(row, at);
        self.whole(row);
    }

    /// The text itself.
    fn text(&self, row: &mut Row, piece: &Piece) {
        let text = piece.text.trim_end();
        let words = count(text.split(' ').count());
        let marks = Marks::of(text);
        row.put("chars", number(piece.chars));
        row.put("words", number(words));
        row.put("word_length", share(piece.chars, words));
        row.put("link_density", piece.link_density());
        row.put("bold", share(piece.strong, piece.chars));
        row.put("digits", share(marks.digits, piece.chars));
        row.put("capitals", share(marks.capitals, piece.chars));
        row.put("commas", share(marks.commas, piece.chars));
        row.put("stops", share(marks.stops, piece.chars));
        row.put("marks", share(marks.others, piece.chars));
        row.put("end", number(text.chars().next_back().map_or(0, ending)));
        row.flag("starts_low", text.chars().next().is_some_and(char::is_lowercase));
        row.put("repeated", number(self.repeated.get(piece.text.as_str()).copied().unwrap_or(0)));
        let own = if text.len() < 300 { letters(text) } else { String::new() };
        row.flag("is_title", own.len() > 3 && own == self.title);
        row.flag("in_title", own.len() > 3 && self.title.contains(&own));
        for (name, times) in phrases::NAMES.iter().zip(phrases::count(text)) {
            row.put(name, number(times));
        }
    }

    /// Where it stands in the page.
    fn place(&self, row: &mut Row, at: usize, piece: &Piece) {
        let total = self.totals.chars.max(1);
        row.put("position", share(self.before[at], total));
        row.put("chars_before", number(self.before[at]));
        row.put("chars_after", number(total.saturating_sub(self.before[at] + piece.chars)));
        row.put("long_before", number(self.long_before[at]));
        row.put("long_after", number(self.long_pieces - self.long_before[at] - u32::from(piece.is_long())));
        let headline = self.headline.map_or(-99.0, |headline| signed(at, headline));
        row.put("from_headline", headline);
        let since = self.headline.map_or(0, |headline| self.before[at].saturating_sub(self.before[headline]));
        row.put("chars_from_headline", number(since));
        let element = &self.outline.elements;
        row.put("inner_kind", f32::from(element[piece.inner].kind));
        row.put("kind", f32::from(element[piece.block].kind));
        row.put("parent_kind", f32::from(element[element[piece.block].parent].kind));
        row.put("longest_share", share(piece.chars, self.longest));
    }

    /// What the elements around it hint at, and how far away.
    fn surroundings(&self, row: &mut Row, piece: &Piece) {
        let mut distance = [ABSENT; hints::COUNT];
        let mut depth = 0_u32;
        for (level, (_, element)) in self.outline.upwards(piece.inner, 60).enumerate() {
            depth += 1;
            let mut left = if level < LEVELS { element.hints } else { 0 };
            while left != 0 {
                let hint = left.trailing_zeros() as usize;
                left &= left - 1;
                if distance[hint] >= ABSENT {
                    distance[hint] = number(count(level));
                }
            }
        }
        row.put("depth", number(depth));
        for (hint, name) in hints::NAMES.iter().enumerate() {
            row.put(name, distance[hint]);
        }
    }

    /// The containers around it.
    fn containers(&self, row: &mut Row, piece: &Piece, containers: &[usize; CONTAINERS]) {
        const NAMES: [[&str; 5]; CONTAINERS] = [
            ["c1_chars", "c1_links", "c1_pieces", "c1_long", "c1_share"],
            ["c2_chars", "c2_links", "c2_pieces", "c2_long", "c2_share"],
            ["c3_chars", "c3_links", "c3_pieces", "c3_long", "c3_share"],
            ["c4_chars", "c4_links", "c4_pieces", "c4_long", "c4_share"],
            ["c5_chars", "c5_links", "c5_pieces", "c5_long", "c5_share"],
        ];
        for (at, names) in containers.iter().zip(NAMES) {
            let totals = self.outline.elements[*at].totals;
            row.put(names[0], number(totals.chars));
            row.put(names[1], totals.link_density());
            row.put(names[2], number(totals.pieces));
            row.put(names[3], share(totals.long, totals.chars));
            row.put(names[4], share(totals.chars, self.totals.chars));
        }
        let candidate = self.outline.candidate;
        let below = |at: usize| self.below.get(at).copied().flatten();
        let mut upwards = self.outline.upwards(piece.inner, 60).enumerate();
        let meeting = upwards.find_map(|(up, (at, _))| below(at).map(|down| (up, down)));
        let (up, down) = meeting.unwrap_or((60, 60));
        row.put("up_to_candidate", number(count(up)));
        row.put("down_to_candidate", number(count(down)));
        let best = &self.outline.elements[candidate];
        row.put("candidate_share", share(best.totals.chars, self.totals.chars));
        let nearest = self.outline.upwards(piece.block, 4).map(|(_, element)| element.score).fold(0.0, f32::max);
        row.put("score", if best.score > 0.0 { nearest / best.score } else { 0.0 });
    }

    /// The nearest of its containers that has siblings which look alike: posts, cards, items, rows.
    fn likes(&self, row: &mut Row, piece: &Piece) {
        let mut nearest = None;
        let mut largest: Option<(u32, Totals, Totals)> = None;
        for (level, (at, element)) in self.outline.upwards(piece.inner, 20).enumerate() {
            let Some((number, totals)) = self.outline.alike.get(&(element.parent, element.signature)) else { continue };
            if *number < 3 || element.parent == at {
                continue;
            }
            if nearest.is_none() {
                nearest = Some((level, *number, *totals, element.totals));
            }
            if largest.is_none_or(|(_, sum, _)| totals.chars > sum.chars) {
                largest = Some((*number, *totals, element.totals));
            }
        }
        let (level, siblings, sum, own) = nearest.unwrap_or((20, 0, Totals::default(), Totals::default()));
        row.put("like_level", number(count(level)));
        row.put("like_count", number(siblings));
        row.put("like_mean", share(sum.chars, siblings));
        row.put("like_links", sum.link_density());
        row.put("like_share", share(sum.chars, self.totals.chars));
        row.put("like_own", share(own.chars, sum.chars));
        let (siblings, sum, own) = largest.unwrap_or_default();
        row.put("likes_count", number(siblings));
        row.put("likes_mean", share(sum.chars, siblings));
        row.put("likes_links", sum.link_density());
        row.put("likes_long", share(sum.long, sum.chars));
        row.put("likes_share", share(sum.chars, self.totals.chars));
        row.put("likes_own", share(own.chars, sum.chars));
    }

    /// The pieces before and after.
    fn neighbours(&self, row: &mut Row, at: usize) {
        const NAMES: [[&str; 3]; 4] = [
            ["before2_chars", "before2_links", "before2_kind"],
            ["before1_chars", "before1_links", "before1_kind"],
            ["after1_chars", "after1_links", "after1_kind"],
            ["after2_chars", "after2_links", "after2_kind"],
        ];
        let pieces = &self.outline.pieces;
        let places = [at.checked_sub(2), at.checked_sub(1), Some(at + 1), Some(at + 2)];
        for (names, place) in NAMES.into_iter().zip(places) {
            let piece = place.and_then(|place| pieces.get(place));
            row.put(names[0], piece.map_or(-1.0, |piece| number(piece.chars)));
            row.put(names[1], piece.map_or(-1.0, Piece::link_density));
            row.put(names[2], piece.map_or(-1.0, |piece| f32::from(self.outline.elements[piece.block].kind)));
        }
        let window = &pieces[at.saturating_sub(5)..(at + 6).min(pieces.len())];
        let (chars, linked, long) = window.iter().fold((0, 0, 0), |(chars, linked, long), piece| {
            (chars + piece.chars, linked + piece.linked, long + if piece.is_long() { piece.chars } else { 0 })
        });
        row.put("window_chars", number(chars));
        row.put("window_links", share(linked, chars));
        row.put("window_long", share(long, chars));
    }

    /// The page as a whole.
    fn whole(&self, row: &mut Row) {
        row.put("page_chars", number(self.totals.chars));
        row.put("page_links", self.totals.link_density());
        row.put("page_long", share(self.totals.long, self.totals.chars));
        row.put("page_pieces", number(self.totals.pieces));
        row.put("page_headings", number(self.headings));
        row.put("page_articles", number(self.articles));
        row.put("page_mains", number(self.mains));
        row.put("page_forms", number(self.forms));
        row.flag("page_is_article", self.signs.article);
        row.flag("page_is_product", self.signs.product);
        row.flag("page_is_thread", self.signs.thread);
    }
}

/// Characters of a text by their kinds.
#[derive(Default)]
struct Marks {
    digits: u32,
    capitals: u32,
    commas: u32,
    stops: u32,
    others: u32,
}

impl Marks {
    fn of(text: &str) -> Self {
        let mut marks = Self::default();
        for c in text.chars() {
            match c {
                'a'..='z' | ' ' => {}
                ',' | ';' | '、' | '\u{ff0c}' => marks.commas += 1,
                '.' | '!' | '?' | '。' | '\u{ff01}' | '\u{ff1f}' | '…' => marks.stops += 1,
                '|' | '•' | '·' | '/' | '»' | '›' | '→' | '>' | '#' | '@' => marks.others += 1,
                _ => {
                    marks.digits += u32::from(c.is_numeric());
                    marks.capitals += u32::from(c.is_uppercase());
                }
            }
        }
        marks
    }
}

/// How a text ends.
fn ending(last: char) -> u32 {
    match last {
        '.' | '!' | '?' | '。' | '\u{ff01}' | '\u{ff1f}' | '"' | '”' | '»' => 3,
        ':' => 2,
        ')' | ']' => 1,
        '…' => 4,
        _ => 0,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "counts above 16 million may lose their last digit")]
fn number(count: u32) -> f32 {
    count as f32
}

/// How far one place is behind another, at most 200 either way.
fn signed(at: usize, origin: usize) -> f32 {
    let distance = number(count(at.abs_diff(origin).min(200)));
    if at < origin { -distance } else { distance }
}
