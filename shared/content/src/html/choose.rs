//! Which pieces of a page are its main content.
//!
//! Two forests judge. The first sees each piece by itself and where it stands. The second sees the same, and what the
//! first said of the pieces around it, in the same containers and set in the same way: a short line among paragraphs is
//! kept, one card of a hundred like it goes or stays with the others.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::features::{self, CONTAINERS, Signs, Table};
use super::forest::Forest;
use super::hints;
use super::outline::{Outline, Piece};

/// What was learned from pages, by `bench/eval/html_train.py`.
const LEARNED: &str = include_str!("forest.txt");

/// The probability from which a piece is kept on a page that is doubtful all over, such as a page of products…
const DOUBTFUL: f32 = 0.35;

/// …and on one whose main content stands out, such as an article: there, what is doubtful stands beside it.
const CLEAR: f32 = 0.7;

/// The mean probability of a page's main content between which a page passes from doubtful to clear.
const CLARITY: [f32; 2] = [0.88, 0.96];

/// The probability from which a piece is kept on a page where hardly anything else is.
const POSSIBLE: f32 = 0.15;

/// The share of the main content that an element must hold to be its home…
const HOME: f32 = 0.8;

/// …and the probability from which pieces elsewhere are kept.
const ELSEWHERE: f32 = 0.8;

/// Below this probability the first forest has the last word.
const HOPELESS: f32 = 0.01;

/// Texts of at least this many characters are kept once: pages repeat themselves for other screens.
const ONCE: u32 = 60;

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
    /// The page calls itself something that consists of many parts: a product, a discussion.
    scattered: bool,
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
            if *probability >= HOPELESS {
                row.extend(opinions);
                *probability = second.probability(row);
            }
        }
    }
    Judged { outline, probabilities, scattered: signs.product || signs.thread }
}

impl Judged {
    /// For every text node of the page, whether it is main content.
    pub(super) fn likely(&self) -> Vec<bool> {
        if self.scattered {
            return self.kept(|_| DOUBTFUL);
        }
        let (home, clarity) = self.home();
        let along = ((clarity - CLARITY[0]) / (CLARITY[1] - CLARITY[0])).clamp(0.0, 1.0);
        let least = DOUBTFUL + (CLEAR - DOUBTFUL) * along;
        let least = |at: usize| {
            let at_home = home.get(self.outline.pieces[at].inner) == Some(&true);
            if at_home { least } else { least.max(ELSEWHERE) }
        };
        // Where no paragraph is likely, links have been found: a paragraph that is possible may be the text.
        let mut pieces = self.outline.pieces.iter().zip(&self.probabilities).enumerate();
        let found = pieces.any(|(at, (piece, probability))| piece.is_long() && *probability >= least(at));
        self.kept(|at| if !found && self.outline.pieces[at].is_long() { POSSIBLE } else { least(at) })
    }

    /// The same where a little hope is enough.
    pub(super) fn possible(&self) -> Vec<bool> {
        self.kept(|_| POSSIBLE)
    }

    /// Which elements are the smallest one that holds nearly all that is likely, or are in it; and how likely that is.
    fn home(&self) -> (Vec<bool>, f32) {
        let elements = &self.outline.elements;
        let mut held = vec![0.0_f32; elements.len()];
        let (mut total, mut sum) = (0.0, 0.0);
        for (piece, probability) in self.outline.pieces.iter().zip(&self.probabilities) {
            if *probability >= 0.5 {
                let weight = weight(piece) * probability;
                held[piece.inner] += weight;
                total += weight;
                sum += weight * probability;
            }
        }
        for at in (1..elements.len()).rev() {
            let own = held[at];
            held[elements[at].parent] += own;
        }
        // Elements come before what they hold: the last that holds enough is the innermost.
        let innermost = held.iter().rposition(|weight| total > 0.0 && *weight >= total * HOME).unwrap_or(0);
        let mut home = vec![false; elements.len()];
        for at in innermost..elements.len() {
            home[at] = at == innermost || home[elements[at].parent];
        }
        (home, if total > 0.0 { sum / total } else { 0.0 })
    }

    fn kept(&self, least: impl Fn(usize) -> f32) -> Vec<bool> {
        let pieces = &self.outline.pieces;
        let mut wanted: Vec<bool> = (0..pieces.len()).map(|at| self.probabilities[at] >= least(at)).collect();
        self.complete_tables(&mut wanted);
        let mut kept = vec![false; self.outline.nodes];
        let mut said = HashSet::new();
        for (piece, wanted) in pieces.iter().zip(wanted) {
            if wanted && (piece.chars < ONCE || said.insert(piece.text.trim_end())) {
                kept[piece.nodes.clone()].fill(true);
            }
        }
        kept
    }

    /// A table of short cells most of which are wanted is wanted whole: a cell means nothing without its row and column.
    fn complete_tables(&self, wanted: &mut [bool]) {
        let table_of = |piece: &Piece| {
            let mut around = self.outline.upwards(piece.block, 8);
            around.find(|(_, element)| element.hints & hints::TABLE != 0).filter(|(_, table)| table.totals.long == 0)
        };
        let tables: Vec<Option<usize>> =
            self.outline.pieces.iter().map(|piece| table_of(piece).map(|(at, _)| at)).collect();
        let mut chars: HashMap<usize, u32> = HashMap::new();
        for ((piece, wanted), table) in self.outline.pieces.iter().zip(wanted.iter()).zip(&tables) {
            if let Some(table) = table.filter(|_| *wanted) {
                *chars.entry(table).or_default() += piece.chars;
            }
        }
        for (wanted, table) in wanted.iter_mut().zip(&tables) {
            let most = |at: &usize| chars.get(at).is_some_and(|own| own * 2 >= self.outline.elements[*at].totals.chars);
            *wanted |= table.as_ref().is_some_and(most);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a weight needs no more than six digits")]
fn weight(piece: &Piece) -> f32 {
    piece.chars as f32
}

/// What the first forest said of each piece and of those around it: itself, two before, two after, the mean of each
/// container, of all pieces with the same path, and of the page, weighted by length.
fn opinions(outline: &Outline, table: &Table, first: &[f32]) -> Vec<[f32; OPINIONS]> {
    let mean = |sums: &[(f32, f32)], at: usize| sums.get(at).map_or(0.0, |(sum, weight)| sum / weight.max(1.0));
    let mut containers = vec![(0.0_f32, 0.0_f32); outline.elements.len()];
    let mut paths = vec![(0.0_f32, 0.0_f32); outline.pieces.len() + 1];
    let mut page = (0.0_f32, 0.0_f32);
    for (at, piece) in outline.pieces.iter().enumerate() {
        let weight = weight(piece);
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
