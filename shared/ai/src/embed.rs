//! The edge through which every embedding model is reached.

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
}
