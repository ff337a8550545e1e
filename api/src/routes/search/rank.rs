//! Joining what several ways of searching found.

use std::collections::{HashMap, HashSet};

use gristmill_core::ids::{ChunkId, DocumentId};
use gristmill_store::search::Found;

/// Reciprocal rank fusion's constant: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and
/// individual Rank Learning Methods" (SIGIR 2009).
const K: f64 = 60.0;

/// A passage with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    pub(super) id: ChunkId,
    pub(super) document_id: DocumentId,
    pub(super) score: f64,
}

/// Joins ranked lists, each with what it counts, by weighted reciprocal rank fusion, best first; equals in the order of
/// their ids, so that a search repeated shows the same.
pub(super) fn fuse(lists: &[(f64, Vec<Found>)]) -> Vec<Ranked> {
    let mut scores: HashMap<ChunkId, Ranked> = HashMap::new();
    for (weight, list) in lists.iter().filter(|(weight, _)| *weight > 0.0) {
        let mut rank = K;
        for Found { id, document_id } in list {
            rank += 1.0;
            let ranked = scores.entry(*id).or_insert(Ranked { id: *id, document_id: *document_id, score: 0.0 });
            ranked.score += weight / rank;
        }
    }
    let mut ranked: Vec<_> = scores.into_values().collect();
    ranked.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.id.cmp(&other.id)));
    ranked
}

/// The same with the best passage of each document first.
pub(super) fn in_order(ranked: Vec<Ranked>) -> Vec<Ranked> {
    let mut seen = HashSet::new();
    let (mut first, further): (Vec<_>, Vec<_>) = ranked.into_iter().partition(|ranked| seen.insert(ranked.document_id));
    first.extend(further);
    first
}

#[cfg(test)]
mod tests {
    use super::{Found, Ranked, fuse, in_order};
    use gristmill_core::ids::{ChunkId, DocumentId};

    fn found(count: usize) -> Vec<Found> {
        let mut found: Vec<Found> =
            (0..count).map(|_| Found { id: ChunkId::generate(), document_id: DocumentId::generate() }).collect();
        found.sort_by_key(|found| found.id);
        found
    }

    #[test]
    fn what_both_lists_have_comes_before_what_one_has() {
        let found = found(3);
        let ranked = fuse(&[(1.0, vec![found[0], found[1]]), (1.0, vec![found[2], found[1]])]);
        assert_eq!(ranked[0].id, found[1].id);
        assert!((ranked[0].score - 2.0 / 62.0).abs() < 1e-12 && (ranked[1].score - 1.0 / 61.0).abs() < 1e-12);
        assert_eq!((ranked[1].id, ranked[2].id, ranked.len()), (found[0].id, found[2].id, 3));
    }

    #[test]
    fn a_list_that_counts_little_does_not_outvote_one_that_counts_much() {
        let found = found(4);
        let words = vec![found[3], found[2]];
        let ids = |lists: &[(f64, Vec<Found>)]| fuse(lists).into_iter().map(|ranked| ranked.id).collect::<Vec<_>>();
        assert_eq!(ids(&[(1.0, words.clone()), (0.2, vec![found[0], found[1]])])[..2], [found[3].id, found[2].id]);
        assert_eq!(ids(&[(1.0, words.clone()), (0.0, vec![found[0]])]).len(), 2);
        // It still decides between what would be equal otherwise, or nearly.
        assert_eq!(ids(&[(1.0, words), (0.2, vec![found[2]])])[0], found[2].id);
    }

    #[test]
    fn each_document_is_shown_once_before_any_is_shown_twice() {
        let (one, other) = (DocumentId::generate(), DocumentId::generate());
        let ranked: Vec<_> = [(one, 0.3), (one, 0.2), (other, 0.1)]
            .map(|(document_id, score)| Ranked { id: ChunkId::generate(), document_id, score })
            .to_vec();
        let shown: Vec<_> = in_order(ranked.clone()).into_iter().map(|ranked| ranked.id).collect();
        assert_eq!(shown, [ranked[0].id, ranked[2].id, ranked[1].id]);
    }
}
