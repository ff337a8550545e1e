//! BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009), with the logarithm that
//! never turns negative (as Lucene has it), and the bounds that let most postings go unread.
//!
//! Terms are taken one after the other, the rarest first. Once what is left to come cannot lift a chunk that was not seen
//! yet among the best, only chunks that were seen are looked up (Turtle and Flood, "Query Evaluation: Strategies and
//! Optimizations", 1995). The result is exact.

/// How soon more of the same term adds little.
const K1: f32 = 1.2;
/// How much length counts.
const B: f32 = 0.75;

/// That a chunk has a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posting {
    /// The chunk's number.
    pub(crate) number: i64,
    /// How often it has the term.
    pub(crate) times: u16,
    /// How long it is, in terms.
    pub(crate) terms: u16,
}

/// The chunks that terms are weighed against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Collection {
    chunks: f32,
    average: f32,
}

impl Collection {
    /// So many chunks with so many terms together.
    #[expect(clippy::cast_precision_loss, reason = "seven digits are more than statistics are good for")]
    pub(crate) fn new(chunks: i64, terms: i64) -> Self {
        let chunks = chunks.max(1) as f32;
        Self { chunks, average: (terms.max(1) as f32 / chunks).max(1.0) }
    }

    /// What a term is worth that `entries` chunks have and the query has `times` times.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    pub(crate) fn weight(self, entries: i64, times: i32) -> f32 {
        let having = (entries.max(0) as f32).min(self.chunks);
        ((self.chunks - having + 0.5) / (having + 0.5)).ln_1p() * times.max(1) as f32
    }

    /// How much of its worth a term adds that a chunk of this length has so many times.
    pub(crate) fn gain(self, times: u16, terms: u16) -> f32 {
        let times = f32::from(times);
        times * (K1 + 1.0) / (times + K1 * (1.0 - B + B * f32::from(terms) / self.average))
    }
}

/// Chunks that were found so far and their scores, in the order of their numbers.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scores(Vec<(i64, f32)>);

impl Scores {
    /// The numbers of the chunks.
    pub(crate) fn numbers(&self) -> Vec<i64> {
        self.0.iter().map(|(number, _)| *number).collect()
    }

    /// Adds a term of this worth. With `newcomers`, chunks that were not found before are found now.
    pub(crate) fn add(&mut self, mut postings: Vec<Posting>, collection: Collection, weight: f32, newcomers: bool) {
        if !postings.is_sorted_by_key(|posting| posting.number) {
            postings.sort_unstable_by_key(|posting| posting.number);
        }
        let known = std::mem::take(&mut self.0);
        let mut merged = Vec::with_capacity(known.len() + if newcomers { postings.len() } else { 0 });
        let mut postings = postings.into_iter().peekable();
        let score = |posting: Posting| weight * collection.gain(posting.times, posting.terms);
        for (number, before) in known {
            while let Some(posting) = postings.next_if(|posting| posting.number < number) {
                if newcomers {
                    merged.push((posting.number, score(posting)));
                }
            }
            let more = postings.next_if(|posting| posting.number == number).map_or(0.0, score);
            merged.push((number, before + more));
        }
        if newcomers {
            merged.extend(postings.map(|posting| (posting.number, score(posting))));
        }
        self.0 = merged;
    }

    /// The score of the `count`-th best; nothing can be left out while there are fewer.
    pub(crate) fn threshold(&self, count: usize) -> f32 {
        if count == 0 || self.0.len() < count {
            return f32::NEG_INFINITY;
        }
        let mut scores: Vec<f32> = self.0.iter().map(|(_, score)| *score).collect();
        *scores.select_nth_unstable_by(count - 1, |one, other| other.total_cmp(one)).1
    }

    /// Lets go of chunks that stay below `threshold` whatever is left to come adds.
    pub(crate) fn prune(&mut self, threshold: f32, to_come: f32) {
        // Sums of floats differ in their last digits by the order they are made in.
        let least = threshold - to_come * 1.0001 - 1e-4;
        self.0.retain(|(_, score)| *score >= least);
    }

    /// The best `count`, best first; equals in the order of their numbers, so that a search repeated shows the same.
    pub(crate) fn best(mut self, count: usize) -> Vec<(i64, f32)> {
        let order = |one: &(i64, f32), other: &(i64, f32)| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0));
        if count > 0 && count < self.0.len() {
            self.0.select_nth_unstable_by(count - 1, order);
        }
        self.0.truncate(count);
        self.0.sort_unstable_by(order);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Collection, Posting, Scores};

    fn postings(numbers: &[i64]) -> Vec<Posting> {
        numbers.iter().map(|number| Posting { number: *number, times: 1, terms: 10 }).collect()
    }

    #[test]
    fn a_worked_example_comes_out_as_by_hand() {
        // 10 chunks of 10 terms, a term in 2 of them: ln(1 + 8.5 / 2.5) = 1.4816; of average length, once: 2.2 / 2.2.
        let collection = Collection::new(10, 100);
        assert!((collection.weight(2, 1) - 1.4816).abs() < 1e-4);
        assert!((collection.gain(1, 10) - 1.0).abs() < 1e-6);
        // Twice: 2 · 2.2 / (2 + 1.2); twice as long: 2.2 / (1 + 1.2 · 1.75).
        assert!((collection.gain(2, 10) - 1.375).abs() < 1e-6);
        assert!((collection.gain(1, 20) - 2.2 / 3.1).abs() < 1e-6);
        assert!(collection.weight(10, 1) > 0.0 && collection.weight(12, 1) > 0.0);
    }

    #[test]
    fn scores_add_up_and_the_best_come_first() {
        let collection = Collection::new(10, 100);
        let mut scores = Scores::default();
        scores.add(postings(&[3, 5, 9]), collection, 2.0, true);
        scores.add(postings(&[9, 5, 7]), collection, 1.0, true);
        scores.add(postings(&[1, 9]), collection, 0.5, false);
        assert_eq!(scores.numbers(), [3, 5, 7, 9]);
        assert!((scores.threshold(2) - 3.0).abs() < 1e-6 && scores.threshold(5).is_infinite());
        let best: Vec<i64> = scores.clone().best(3).into_iter().map(|(number, _)| number).collect();
        assert_eq!(best, [9, 5, 3]);
        scores.prune(3.0, 0.9);
        assert_eq!(scores.numbers(), [5, 9]);
    }
}
