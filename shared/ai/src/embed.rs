//! The edge through which every embedding model is reached.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;

use crate::AiError;

/// A model that turns texts into vectors of one fixed length. Dyn-compatible, so that which model serves is configuration.
pub trait Embedder: Send + Sync {
    /// The model's stable name, such as `local/hashed-ngrams-512`. Vectors of different names must never be compared.
    fn model(&self) -> &str;

    /// The length of every vector this model returns.
    fn dimensions(&self) -> usize;

    /// One vector per text, in the order given, each of [`dimensions`](Self::dimensions) numbers.
    ///
    /// # Errors
    /// [`AiError`] when the model gave no answer; no vector of the batch is returned then.
    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, AiError>>;

    /// How much is sent at once, and how many calls may be under way.
    fn batching(&self) -> Batching {
        Batching::default()
    }

    /// What a place in this model's ranking counts in hybrid search, where a place in that of BM25 counts 1. A model that
    /// ranks worse than BM25 does must not outvote it.
    fn weight(&self) -> f64 {
        1.0
    }
}

/// How texts are sent to a model: what its provider accepts and what makes good use of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// Texts per call, at most.
    pub texts: usize,
    /// Bytes of text per call, at most; a single longer text is a call by itself.
    pub bytes: usize,
    /// Calls under way at once.
    pub in_flight: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self { texts: 64, bytes: 128 * 1024, in_flight: 4 }
    }
}

impl Batching {
    /// Cuts texts of these lengths, in bytes, to calls: how many texts each has.
    pub fn cut(&self, lengths: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let (mut calls, mut bytes) = (Vec::new(), 0);
        for length in lengths {
            match calls.last_mut() {
                Some(texts) if *texts < self.texts && bytes + length <= self.bytes => {
                    *texts += 1;
                    bytes += length;
                }
                _ => {
                    calls.push(1);
                    bytes = length;
                }
            }
        }
        calls
    }
}

/// The models that can be asked: the one that serves where nothing else is said, and others, such as one that chunks were
/// embedded with before. Cheap to clone.
#[derive(Clone)]
pub struct Embedders(Arc<[Arc<dyn Embedder>]>);

impl Embedders {
    /// This model serves, and `others` can be asked, too.
    pub fn new(serving: Arc<dyn Embedder>, others: impl IntoIterator<Item = Arc<dyn Embedder>>) -> Self {
        Self(std::iter::once(serving).chain(others).collect())
    }

    /// The model that serves where nothing else is said.
    pub fn serving(&self) -> &Arc<dyn Embedder> {
        &self.0[0]
    }

    /// The model called `name`.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Embedder>> {
        self.0.iter().find(|embedder| embedder.model() == name)
    }

    /// The names of all models.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|embedder| embedder.model())
    }
}

impl fmt::Debug for Embedders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Batching;

    #[test]
    fn calls_hold_what_the_provider_accepts() {
        let batching = Batching { texts: 3, bytes: 10, in_flight: 1 };
        assert_eq!(batching.cut([1, 1, 1, 1]), [3, 1]);
        assert_eq!(batching.cut([6, 4, 1, 99, 1]), [2, 1, 1, 1]);
        assert!(batching.cut([]).is_empty());
    }
}
