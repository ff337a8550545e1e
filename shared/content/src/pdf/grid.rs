//! Tables: rows of words with common gaps, with or without ruling.

use super::bidi;
use super::glyphs::Rule;
use super::lines::{Segment, Word};
use super::order::median;

/// A gap between columns is at least this many ems wide.
const COLUMN_GAP: f32 = 0.6;

/// More columns than this are a drawing, not a table.
const MAX_COLUMNS: usize = 40;

/// Segments in one row, from left to right.
pub(super) type Row = Vec<Segment>;

/// Groups segments, ordered by baseline, into rows.
pub(super) fn rows(segments: Vec<Segment>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for segment in segments {
        match rows.last_mut() {
            Some(row) if row.iter().any(|other| other.same_row(&segment)) => row.push(segment),
            _ => rows.push(vec![segment]),
        }
    }
    for row in &mut rows {
        row.sort_by(|a, b| a.x0.total_cmp(&b.x0));
        bidi::row_order(row);
    }
    rows
}

/// Whether most of a region comes out as tables.
pub(super) fn is_table(segments: &[Segment], rules: &[Rule]) -> bool {
    let rows = rows(segments.to_vec());
    let several = rows.iter().filter(|row| row.len() > 1).count();
    if several * 2 <= rows.len() {
        return false;
    }
    let text: usize = parts(&rows, rules)
        .iter()
        .map(|part| match part {
            Part::Text(rows) => rows.len(),
            Part::Table(_) => 0,
        })
        .sum();
    text * 2 < rows.len()
}

/// A stretch of rows of a zone.
pub(super) enum Part {
    /// Rows of running text.
    Text(Vec<Row>),
    /// The cells of a table.
    Table(Vec<Vec<String>>),
}

/// Parts the rows of a zone into text and tables.
pub(super) fn parts(rows: &[Row], rules: &[Rule]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut at = 0;
    while at < rows.len() {
        let end = stretch(rows, at);
        let table = (end - at >= 2).then(|| cells(&rows[at..end], rules)).flatten();
        if let Some(cells) = table {
            parts.push(Part::Table(cells));
            at = end;
        } else {
            // A long stretch that is none from here is hardly one from the next row.
            let passed = &rows[at..at + 1 + (end - at) / 64];
            match parts.last_mut() {
                Some(Part::Text(text)) => text.extend_from_slice(passed),
                _ => parts.push(Part::Text(passed.to_vec())),
            }
            at += passed.len();
        }
    }
    parts
}

/// The end of the rows from `start` on that may form a table: rows of several segments, and between them rows of one
/// that continue a cell.
fn stretch(rows: &[Row], start: usize) -> usize {
    if rows[start].len() < 2 {
        return start;
    }
    let (x0, x1) = (rows[start][0].x0, rows[start].last().map_or(0.0, |last| last.x1));
    let mut end = start + 1;
    let mut index = start + 1;
    let mut singles = 0;
    while index < rows.len() {
        let (above, row) = (&rows[index - 1][0], &rows[index]);
        let size = above.size.max(row[0].size);
        if row[0].y - above.y > 3.2 * size {
            break;
        }
        if row.len() > 1 {
            end = index + 1;
            singles = 0;
        } else {
            singles += 1;
            let width = row[0].x1 - row[0].x0;
            // A line as wide as the table is text below or between.
            if singles > 3 || width > 0.75 * (x1 - x0).max(1.0) || row[0].x0 < x0 - size {
                break;
            }
        }
        index += 1;
    }
    end
}

/// The cells of a table, or none if the rows are something else.
fn cells(rows: &[Row], rules: &[Rule]) -> Option<Vec<Vec<String>>> {
    let size = median(rows.iter().flatten().map(|segment| segment.size))?;
    let bounds = Bounds::of(rows, size);
    let across = horizontal(rules, &bounds);
    let gaps = gaps(rows, size, &bounds, rules);
    let columns = gaps.len() + 1;
    if !(2..=MAX_COLUMNS).contains(&columns) || rows.len() < if across.len() >= 2 { 2 } else { 3 } {
        return None;
    }
    let mut lines: Vec<(f32, Vec<Vec<&Word>>)> = Vec::new();
    for row in rows {
        let mut line: Vec<Vec<&Word>> = vec![Vec::new(); columns];
        for word in row.iter().flat_map(|segment| &segment.words) {
            let middle = 0.5 * (word.x0 + word.x1);
            line[gaps.partition_point(|gap| *gap < middle)].push(word);
        }
        lines.push((row[0].y, line));
    }
    // Lines across every few rows make a grid; one above and one below a page's columns do not.
    if !is_tabular(&lines, across.len() >= 4 && rows.len() <= 8 * across.len()) {
        return None;
    }
    let mut table: Vec<Vec<String>> = Vec::new();
    let ruled = across.len() > 3 && !holds_rows(&lines, &across);
    let mut previous: Option<f32> = None;
    for (y, line) in lines {
        let texts: Vec<String> = line
            .iter()
            .map(|words| words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "))
            .collect();
        let continues = previous.is_some_and(|above| {
            let parted = across.iter().any(|rule| *rule > above && *rule < y - 0.3 * size);
            let filled = texts.iter().filter(|text| !text.is_empty()).count();
            !parted && y - above < 1.5 * size && (ruled || (texts[0].is_empty() && filled < columns))
        });
        match table.last_mut() {
            Some(row) if continues => {
                for (cell, text) in row.iter_mut().zip(texts).filter(|(_, text)| !text.is_empty()) {
                    if !cell.is_empty() {
                        cell.push(' ');
                    }
                    cell.push_str(&text);
                }
            }
            _ => table.push(texts),
        }
        previous = Some(y);
    }
    (table.len() >= 2).then_some(table)
}

/// Whether the rules part groups of rows rather than rows: then most lines between two of them fill most columns.
fn holds_rows(lines: &[(f32, Vec<Vec<&Word>>)], across: &[f32]) -> bool {
    let band = |y: f32| across.partition_point(|rule| *rule < y);
    let bands: Vec<_> = lines.chunk_by(|a, b| band(a.0) == band(b.0)).filter(|band| band.len() > 1).collect();
    let full = |line: &Vec<Vec<&Word>>| line.iter().filter(|cell| !cell.is_empty()).count() * 4 >= line.len() * 3;
    let grouped = bands.iter().filter(|band| band.iter().filter(|(_, line)| full(line)).count() * 4 >= band.len() * 3);
    let grouped: usize = grouped.map(|band| band.len()).sum();
    // Two or three full lines may be cells of several lines; more are rows.
    let lines: usize = bands.iter().map(|band| band.len()).sum();
    grouped * 2 > lines && lines >= 3 * bands.len()
}

struct Bounds {
    x0: f32,
    x1: f32,
    top: f32,
    bottom: f32,
}

impl Bounds {
    fn of(rows: &[Row], size: f32) -> Self {
        let segments = || rows.iter().flatten();
        Self {
            x0: segments().map(|s| s.x0).fold(f32::INFINITY, f32::min),
            x1: segments().map(|s| s.x1).fold(f32::NEG_INFINITY, f32::max),
            top: rows.first().map_or(0.0, |row| row[0].y) - 2.5 * size,
            bottom: rows.last().map_or(0.0, |row| row[0].y) + 1.5 * size,
        }
    }
}

/// Heights of the horizontal rules of a table, from top to bottom, neighbours within a point counted once.
fn horizontal(rules: &[Rule], bounds: &Bounds) -> Vec<f32> {
    let width = (bounds.x1 - bounds.x0).max(1.0);
    let mut pieces: Vec<(f32, f32)> = rules
        .iter()
        .filter(|rule| rule.y1 - rule.y0 < 1.5 && rule.y0 > bounds.top && rule.y1 < bounds.bottom)
        .map(|rule| (rule.y0, rule.x1.min(bounds.x1) - rule.x0.max(bounds.x0)))
        .filter(|(_, length)| *length > 0.0)
        .collect();
    pieces.sort_by(|a, b| a.0.total_cmp(&b.0));
    // A rule may be drawn in pieces, cell by cell.
    let mut heights: Vec<(f32, f32)> = Vec::new();
    for (y, length) in pieces {
        match heights.last_mut() {
            Some((known, total)) if y - *known < 1.0 => *total += length,
            _ => heights.push((y, length)),
        }
    }
    heights.into_iter().filter(|(_, length)| *length > 0.5 * width).map(|(y, _)| y).collect()
}

/// The middles of the gaps between columns: strips that next to no row's words cross, and vertical rules.
fn gaps(rows: &[Row], size: f32, bounds: &Bounds, rules: &[Rule]) -> Vec<f32> {
    let several: Vec<&Row> = rows.iter().filter(|row| row.len() > 1).collect();
    let allowed = several.len() / 12;
    let mut edges: Vec<(f32, i32)> = Vec::new();
    for word in several.iter().flat_map(|row| row.iter()).flat_map(|segment| &segment.words) {
        edges.push((word.x0, 1));
        edges.push((word.x1.max(word.x0), -1));
    }
    edges.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut found: Vec<f32> = Vec::new();
    let (mut depth, mut open) = (0_i32, None::<f32>);
    for (x, step) in edges {
        depth += step;
        let free = depth <= i32::try_from(allowed).unwrap_or(i32::MAX);
        match (free, open) {
            (true, None) => open = Some(x),
            (false, Some(start)) => {
                if x - start >= COLUMN_GAP * size && start > bounds.x0 {
                    found.push(0.5 * (start + x));
                }
                open = None;
            }
            _ => {}
        }
    }
    let height = (bounds.bottom - bounds.top).max(1.0);
    for rule in rules.iter().filter(|rule| rule.x1 - rule.x0 < 1.5 && rule.x0 > bounds.x0 && rule.x1 < bounds.x1) {
        let within = rule.y1.min(bounds.bottom) - rule.y0.max(bounds.top);
        let crossed =
            || rows.iter().flatten().flat_map(|s| &s.words).any(|w| w.x0 + 1.0 < rule.x0 && w.x1 > rule.x0 + 1.0);
        if within > 0.5 * height && found.iter().all(|gap| (gap - rule.x0).abs() > 1.2 * size) && !crossed() {
            found.push(rule.x0);
        }
    }
    found.sort_by(f32::total_cmp);
    found
}

/// Tells tables from columns of text and from lists: cells are short, or do not fill their columns, or are ruled.
fn is_tabular(lines: &[(f32, Vec<Vec<&Word>>)], ruled: bool) -> bool {
    let columns = lines.first().map_or(0, |(_, line)| line.len());
    let (mut words, mut filled) = (0_usize, 0_usize);
    let mut shapes: Vec<Shape> = std::iter::repeat_with(Shape::default).take(columns).collect();
    for (column, cell) in lines.iter().flat_map(|(_, line)| line.iter().enumerate()) {
        if let (Some(first), Some(last)) = (cell.first(), cell.last()) {
            words += cell.len();
            filled += 1;
            let chars = cell.iter().map(|word| word.text.chars().count()).sum();
            shapes[column].cells.push((last.x1.max(first.x1) - first.x0.min(last.x0), cell.len(), chars));
        }
    }
    let markers =
        lines.iter().filter(|(_, line)| line[0].len() == 1 && super::flow::marker(&line[0][0].text).is_some()).count();
    let used = shapes.iter().filter(|s| s.cells.len() * 3 >= lines.len() && s.cells.len() >= 2).count();
    if filled == 0 || used < 2 || (columns == 2 && markers * 2 > lines.len()) {
        return false;
    }
    // Columns of text: lines of several words, most of them as long as their column is wide. Beside them there may be a
    // table: numbers are many cells but few words.
    let prose: Vec<&Shape> = shapes.iter().filter(|shape| shape.is_prose()).collect();
    let prose_words: usize = prose.iter().flat_map(|shape| &shape.cells).map(|cell| cell.1).sum();
    let prose_cells: usize = prose.iter().map(|shape| shape.cells.len()).sum();
    if !ruled && (prose_cells * 2 > filled || (prose.len() >= 2 && prose_words * 5 > words * 3)) {
        return false;
    }
    ruled || words as f32 / filled as f32 <= 8.0
}

/// The cells of a column: how wide each is, and how many words and characters it holds.
#[derive(Default)]
struct Shape {
    cells: Vec<(f32, usize, usize)>,
}

impl Shape {
    fn is_prose(&self) -> bool {
        let count = self.cells.len().max(1) as f32;
        let widest = self.cells.iter().map(|cell| cell.0).fold(0.1, f32::max);
        let full = self.cells.iter().filter(|cell| cell.0 > 0.72 * widest).count();
        let (words, chars) = self.cells.iter().fold((0, 0), |(words, chars), cell| (words + cell.1, chars + cell.2));
        self.cells.len() >= 3
            && full * 2 >= self.cells.len()
            && (words as f32 / count > 3.2 || chars as f32 / count > 22.0)
    }
}
