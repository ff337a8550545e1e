//! Models: embeddings and summaries that need no network and no key, and the traits every provider fits behind.
//!
//! | file | holds |
//! |---|---|
//! | `embed.rs` | [`Embedder`], the edge every embedding model is reached through; [`Embedders`], those there are |
//! | `rerank.rs` | [`Reranker`], the edge of models that judge how well texts answer a query |
//! | `hashed.rs` | [`HashedNgrams`], `local/hashed-ngrams-512` |
//! | `local/` | [`LocalModel`], `local/<directory>-<dimensions>`: BERT or a static table |
//! | `summary/` | [`summarise`], `local/extractive` |
//! | `words.rs` | text to normalised, stemmed words; both of the above stand on it |
//! | `error.rs` | [`AiError`] |

mod embed;
mod error;
mod hashed;
mod local;
mod rerank;
mod summary;
mod words;

pub use embed::{Batching, Embedder, Embedders};
pub use error::AiError;
pub use hashed::HashedNgrams;
pub use local::LocalModel;
pub use rerank::Reranker;
pub use summary::{Summary, SummarySentence, summarise};
