//! The edge through which models are reached that judge how well texts answer a query.

use futures::future::BoxFuture;

use crate::AiError;

/// A model that reads a query together with each text and says how well the text answers it: slower and better than
/// comparing vectors, so it is asked about the best candidates only. Dyn-compatible, as [`Embedder`](crate::Embedder) is.
pub trait Reranker: Send + Sync {
    /// The model's stable name.
    fn model(&self) -> &str;

    /// One score per text, in the order given; higher is better. Scores of different calls must not be compared.
    ///
    /// # Errors
    /// [`AiError`] when the model gave no answer.
    fn rerank<'a>(&'a self, query: &'a str, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<f32>, AiError>>;
}
