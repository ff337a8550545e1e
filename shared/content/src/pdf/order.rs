//! Reading order: a page is cut into zones, each a single column read from top to bottom.
//!
//! A gutter is a vertical strip that few segments cross and that has text of some bulk on both sides. The segments that
//! do cross it (titles, wide figures' captions) cut the page into bands; in each band the left column comes first.
//! A band that is a table is left whole.

use super::glyphs::Rule;
use super::grid;
use super::lines::Segment;

/// Fewest segments on each side of a gutter.
const MIN_SIDE: usize = 4;

/// Columns within columns, at most.
const MAX_DEPTH: usize = 6;

/// Steps from line to line wider than this many ems may part a page into regions.
const PARTING_GAP: f32 = 1.8;

/// Cuts a page's segments, ordered by baseline, into zones in reading order.
pub(super) fn zones(segments: Vec<Segment>, rules: &[Rule]) -> Vec<Vec<Segment>> {
    let mut out = Vec::new();
    split(segments, rules, 0, &mut out);
    out
}

/// A vertical strip: `left` is where it begins, `right` where it ends.
#[derive(Clone, Copy)]
struct Gutter {
    left: f32,
    right: f32,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
    Across,
}

impl Gutter {
    fn side(self, segment: &Segment) -> Side {
        if segment.x1 <= self.left + 0.5 {
            Side::Left
        } else if segment.x0 >= self.right - 0.5 {
            Side::Right
        } else {
            Side::Across
        }
    }
}

fn split(segments: Vec<Segment>, rules: &[Rule], depth: usize, out: &mut Vec<Vec<Segment>>) {
    let found = (depth < MAX_DEPTH && segments.len() >= 2 * MIN_SIDE).then(|| gutter(&segments)).flatten();
    let Some(gutter) = found else {
        if !split_at_gap(&segments, rules, depth, out) && !segments.is_empty() {
            out.push(segments);
        }
        return;
    };
    let mut across: Vec<Segment> = Vec::new();
    for band in bands(segments, gutter) {
        match band {
            Band::Across(lines) => across.extend(lines),
            Band::Columns(lines) if grid::is_table(&lines, rules) => across.extend(lines),
            Band::Columns(lines) => {
                if !across.is_empty() {
                    out.push(std::mem::take(&mut across));
                }
                let (left, right) = lines.into_iter().partition(|segment| gutter.side(segment) == Side::Left);
                split(left, rules, depth + 1, out);
                split(right, rules, depth + 1, out);
            }
        }
    }
    if !across.is_empty() {
        out.push(across);
    }
}

/// Cuts segments without a common gutter at their widest gap from line to line, if columns come to light above or below:
/// two columns of verse above a page of prose. Whether they did.
fn split_at_gap(segments: &[Segment], rules: &[Rule], depth: usize, out: &mut Vec<Vec<Segment>>) -> bool {
    let neighbours = segments.windows(2).filter(|pair| pair[0].same_row(&pair[1])).count();
    if depth >= MAX_DEPTH || neighbours < MIN_SIDE {
        return false;
    }
    let steps = segments.windows(2).map(|pair| (pair[1].y - pair[0].y) / pair[0].size.max(0.1));
    let widest = steps.enumerate().filter(|(_, step)| *step > PARTING_GAP).max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((above, _)) = widest else { return false };
    let (top, bottom) = segments.split_at(above + 1);
    let mut zones = Vec::new();
    split(top.to_vec(), rules, depth + 1, &mut zones);
    let first = zones.len();
    split(bottom.to_vec(), rules, depth + 1, &mut zones);
    if first < 2 && zones.len() - first < 2 {
        return false;
    }
    out.append(&mut zones);
    true
}

enum Band {
    Across(Vec<Segment>),
    Columns(Vec<Segment>),
}

/// Cuts segments, ordered by baseline, at those that cross the gutter. Lines on one side only, between lines across,
/// are the short ends of paragraphs and stay with those.
fn bands(segments: Vec<Segment>, gutter: Gutter) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    for segment in segments {
        let is_across = gutter.side(&segment) == Side::Across;
        match bands.last_mut() {
            Some(Band::Across(lines)) if is_across => lines.push(segment),
            // What stands in one row with a line across belongs to it.
            Some(Band::Across(lines)) if lines.last().is_some_and(|last| last.same_row(&segment)) => {
                lines.push(segment)
            }
            Some(Band::Columns(lines)) if !is_across => lines.push(segment),
            Some(Band::Columns(lines)) if is_across && lines.last().is_some_and(|last| last.same_row(&segment)) => {
                let row_start = lines.iter().rposition(|line| !line.same_row(&segment)).map_or(0, |at| at + 1);
                let mut row = lines.split_off(row_start);
                row.push(segment);
                bands.push(Band::Across(row));
            }
            _ if is_across => bands.push(Band::Across(vec![segment])),
            _ => bands.push(Band::Columns(vec![segment])),
        }
    }
    for band in &mut bands {
        if let Band::Columns(lines) = band {
            let left = lines.iter().filter(|line| gutter.side(line) == Side::Left).count();
            if (left == 0 || left == lines.len()) && lines.len() < MIN_SIDE {
                *band = Band::Across(std::mem::take(lines));
            }
        }
    }
    bands.retain(|band| match band {
        Band::Across(lines) | Band::Columns(lines) => !lines.is_empty(),
    });
    bands
}

/// The gutter that parts most text and is crossed least, if there is one.
fn gutter(segments: &[Segment]) -> Option<Gutter> {
    let size = median(segments.iter().map(|segment| segment.size))?;
    let width = (0.7 * size).max(4.0);
    let mut ends: Vec<f32> = segments.iter().map(|segment| segment.x1).collect();
    let mut starts: Vec<f32> = segments.iter().map(|segment| segment.x0).collect();
    ends.sort_by(f32::total_cmp);
    starts.sort_by(f32::total_cmp);
    let mut best: Option<(f32, Gutter)> = None;
    for (index, &left) in ends.iter().enumerate() {
        if ends.get(index + 1).is_some_and(|next| next - left < 0.5) {
            continue;
        }
        let on_left = index + 1;
        let first_right = starts.partition_point(|&start| start < left + width - 0.5);
        let on_right = starts.len() - first_right;
        let (smaller, larger) = (on_left.min(on_right), on_left.max(on_right));
        if smaller < MIN_SIDE || smaller * 4 < larger {
            continue;
        }
        let across = segments.len().saturating_sub(on_left + on_right);
        let score = smaller as f32 - 1.5 * across as f32;
        if score > 0.0 && best.as_ref().is_none_or(|(known, _)| score > *known) {
            best = Some((score, Gutter { left, right: starts[first_right] }));
        }
    }
    let (_, gutter) = best?;
    parts_running_text(segments, gutter).then_some(gutter)
}

/// Both sides must hold lines of text, not labels, and stand beside one another.
fn parts_running_text(segments: &[Segment], gutter: Gutter) -> bool {
    let extent = |wanted: Side| {
        let side: Vec<&Segment> = segments.iter().filter(|segment| gutter.side(segment) == wanted).collect();
        let chars = side.iter().map(|segment| segment.chars()).sum::<usize>() / side.len().max(1);
        let top = side.iter().map(|segment| segment.y).fold(f32::INFINITY, f32::min);
        let bottom = side.iter().map(|segment| segment.y).fold(f32::NEG_INFINITY, f32::max);
        (chars, top, bottom)
    };
    let (left, right) = (extent(Side::Left), extent(Side::Right));
    let overlap = left.2.min(right.2) - left.1.max(right.1);
    let shorter = (left.2 - left.1).min(right.2 - right.1);
    left.0.min(right.0) >= 10 && overlap > 0.4 * shorter && shorter > 0.0
}

pub(super) fn median(values: impl Iterator<Item = f32>) -> Option<f32> {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}
