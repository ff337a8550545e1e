//! Which pieces of a page are its main content.
//!
//! Two forests judge. The first sees each piece by itself and where it stands. The second sees the same, and what the
//! first said of the pieces around it, in the same containers and set in the same way: a short line among paragraphs is
//! kept, one card of a hundred like it goes or stays with the others.

use std::sync::LazyLock;

use super::features::{self, CONTAINERS, Signs, Table};
use super::forest::Forest;
use super::outline::Outline;

/// What was learned from pages, by `bench/eval/html_train.py`.
const LEARNED: &str = include_str!("forest.txt");

/// The probability from which a piece is kept.
pub(super) const LIKELY: f32 = 0.35;

/// The probability from which it is kept on a page where hardly anything is likely.
pub(super) const POSSIBLE: f32 = 0.15;

/// How many figures the second forest sees besides those of the first.
const OPINIONS: usize = 5 + CONTAINERS + 2;

static FORESTS: LazyLock<Option<[Forest; 2]>> = LazyLock::new(|| {
    let section = |name: &str| {
        let lines = LEARNED.lines().skip_while(move |line| *line != name).skip(1);
        Forest::parse(lines.take_while(|line| !line.starts_with(['#', '[']) && !line.is_empty()))
    };
    Some([section("[first]")?, section("[second]")?])
});

/// A page and what is thought of its pieces.
pub(super) struct Judged {
    outline: Outline,
    /// For each piece the probability that it is main content.
    probabilities: Vec<f32>,
}

/// Judges every piece of a page.
pub(super) fn judge(outline: Outline, title: &str, signs: Signs) -> Judged {
    let mut table = features::of(&outline, title, signs);
    let mut probabilities = vec![0.0; table.rows.len()];
    if let Some([first, second]) = FORESTS.as_ref() {
        for (probability, row) in probabilities.iter_mut().zip(&table.rows) {
            *probability = first.probability(row);
        }
        let opinions = opinions(&outline, &table, &probabilities);
        for ((probability, row), opinions) in probabilities.iter_mut().zip(&mut table.rows).zip(opinions) {
            row.extend(opinions);
            *probability = second.probability(row);
        }
    }
    Judged { outline, probabilities }
}

impl Judged {
    /// For every text node of the page, whether it is main content with at least this probability.
    pub(super) fn kept(&self, least: f32) -> Vec<bool> {
        let mut kept = vec![false; self.outline.nodes];
        for (piece, probability) in self.outline.pieces.iter().zip(&self.probabilities) {
            if *probability >= least {
                kept[piece.nodes.clone()].fill(true);
            }
        }
        kept
    }
}

/// What the first forest said of each piece and of those around it: itself, two before, two after, the mean of each
/// container, of all pieces with the same path, and of the page, weighted by length.
fn opinions(outline: &Outline, table: &Table, first: &[f32]) -> Vec<[f32; OPINIONS]> {
    let mean = |sums: &[(f32, f32)], at: usize| sums.get(at).map_or(0.0, |(sum, weight)| sum / weight.max(1.0));
    let mut containers = vec![(0.0_f32, 0.0_f32); outline.elements.len()];
    let mut paths = vec![(0.0_f32, 0.0_f32); outline.pieces.len() + 1];
    let mut page = (0.0_f32, 0.0_f32);
    for (at, piece) in outline.pieces.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a weight needs no more than six digits")]
        let weight = piece.chars as f32;
        let add = |sum: &mut (f32, f32)| *sum = (sum.0 + first[at] * weight, sum.1 + weight);
        add(&mut containers[piece.inner]);
        add(&mut paths[table.groups[at][CONTAINERS]]);
        add(&mut page);
    }
    for at in (1..containers.len()).rev() {
        let (own, parent) = (containers[at], outline.elements[at].parent);
        containers[parent] = (containers[parent].0 + own.0, containers[parent].1 + own.1);
    }
    let near = |at: Option<usize>| at.and_then(|at| first.get(at)).copied().unwrap_or(-1.0);
    (0..first.len())
        .map(|at| {
            let mut row = [0.0; OPINIONS];
            let places = [Some(at), at.checked_sub(2), at.checked_sub(1), at.checked_add(1), at.checked_add(2)];
            row[..5].copy_from_slice(&places.map(near));
            for level in 0..CONTAINERS {
                row[5 + level] = mean(&containers, table.groups[at][level]);
            }
            row[5 + CONTAINERS] = mean(&paths, table.groups[at][CONTAINERS]);
            row[6 + CONTAINERS] = mean(&[page], 0);
            row
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_can_be_read_and_asks_only_for_what_is_counted() {
        let [first, second] = FORESTS.as_ref().unwrap();
        let figures = features::names().len();
        assert!(first.size() > 0 && first.highest_figure() < figures);
        assert!(second.size() > 0 && second.highest_figure() < figures + OPINIONS);
        // The table names the figures it was learned from: another order would make nonsense of it.
        let names = LEARNED.lines().find_map(|line| line.strip_prefix("# figures: ")).unwrap();
        assert_eq!(names.split(' ').collect::<Vec<_>>(), features::names());
    }
}
