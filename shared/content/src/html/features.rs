//! What can be counted about a piece of text, from which it is judged whether it belongs to the main content.

use std::collections::HashMap;

use super::outline::{Outline, Piece};
use super::page::Page;

/// How many containers around a piece are looked at: ancestors that hold more text than the one before.
pub(super) const CONTAINERS: usize = 5;

/// What the head of a page says about the whole of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signs {
    /// It calls itself an article, a post or a report.
    pub(super) article: bool,
    /// It calls itself a product.
    pub(super) product: bool,
    /// It calls itself a discussion, or questions and answers.
    pub(super) thread: bool,
}

/// A row of figures under construction.
#[derive(Debug, Default)]
pub(super) struct Row {
    values: Vec<f32>,
    names: Option<Vec<&'static str>>,
}

impl Row {
    /// Adds a figure.
    pub(super) fn put(&mut self, name: &'static str, value: f32) {
        self.values.push(value);
        if let Some(names) = &mut self.names {
            names.push(name);
        }
    }

    /// Adds 1 or 0.
    pub(super) fn flag(&mut self, name: &'static str, value: bool) {
        self.put(name, f32::from(u8::from(value)));
    }
}

/// The figures of every piece of a page, and the containers they stand in.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// One row for each piece.
    pub(super) rows: Vec<Vec<f32>>,
    /// For each piece the containers around it, innermost first, then the path it shares with pieces set like it.
    pub(super) groups: Vec<[usize; CONTAINERS + 1]>,
}

/// Counts all there is to count.
pub(super) fn of(outline: &Outline, title: &str, signs: Signs) -> Table {
    let page = Page::of(outline, title, signs);
    let mut table = Table::default();
    let mut paths = HashMap::new();
    for at in 0..outline.pieces.len() {
        let (containers, path) = around(outline, &outline.pieces[at]);
        let next = paths.len();
        let path = *paths.entry(path).or_insert(next);
        let mut row = Row { values: Vec::with_capacity(140), names: None };
        page.describe(&mut row, at, &containers);
        table.rows.push(row.values);
        let mut group = [path; CONTAINERS + 1];
        group[..CONTAINERS].copy_from_slice(&containers);
        table.groups.push(group);
    }
    table
}

/// The names of the figures in their order.
pub(super) fn names() -> Vec<&'static str> {
    let mut outline = Outline::of(&scraper::Html::parse_document("<p>a"));
    outline.pieces.truncate(1);
    let page = Page::of(&outline, "", Signs::default());
    let mut row = Row { values: Vec::new(), names: Some(Vec::new()) };
    page.describe(&mut row, 0, &[0; CONTAINERS]);
    row.names.unwrap_or_default()
}

/// The containers around a piece, and the path of signatures above it.
fn around(outline: &Outline, piece: &Piece) -> ([usize; CONTAINERS], u64) {
    let mut containers = [piece.inner; CONTAINERS];
    let (mut found, mut chars, mut path) = (0, 0, 0_u64);
    for (level, (at, element)) in outline.upwards(piece.inner, 60).enumerate() {
        if level < 3 {
            path = path.wrapping_mul(31).wrapping_add(element.signature);
        }
        if element.totals.chars > chars && found < CONTAINERS {
            chars = element.totals.chars;
            containers[found..].fill(at);
            found += 1;
        }
        if found == CONTAINERS && level >= 3 {
            break;
        }
    }
    (containers, path)
}

/// Letters and digits in lower case, nothing else.
pub(super) fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
