//! `local/<directory>-<dimensions>`: a sentence model that the operator put into a directory, computed here in Rust.
//!
//! | file | holds |
//! |---|---|
//! | `directory.rs` | what lies in the directory, checked before anything is computed with it |
//! | `weights.rs` | numbers out of a safetensors file |
//! | `encoder.rs` | BERT: good vectors, slowly |
//! | `table.rs` | a static table in the format of model2vec: fair vectors, fast |

mod directory;
mod encoder;
mod table;
mod weights;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokenizers::Tokenizer;
use tokio::sync::Semaphore;

use self::{encoder::Encoder, table::Table};
use crate::{AiError, Embedder};

/// A sentence model from a directory: BERT or a static table, told by its weights. Cheap to clone.
///
/// A BERT's directory is laid out as the sentence-transformers library writes it: `config.json`, `tokenizer.json`,
/// `model.safetensors`, and `1_Pooling/config.json` and `sentence_bert_config.json` if they differ from the mean of
/// all tokens and from as many tokens as the model has positions. A static table has `tokenizer.json`,
/// `model.safetensors` with the tensor `embeddings`, and mostly a `config.json`. Longer texts are cut at the model's limit.
#[derive(Clone)]
pub struct LocalModel {
    model: Arc<Model>,
    /// One turn per core. Waiting is first come, first served, so a query is not behind all batches of a document.
    turns: Arc<Semaphore>,
    cores: usize,
}

struct Model {
    name: String,
    tokenizer: Tokenizer,
    /// Texts are cut at this many characters before they are turned into tokens.
    most_chars: Option<usize>,
    lower_case: bool,
    network: Network,
}

enum Network {
    Encoder(Encoder),
    Table(Table),
}

impl Network {
    fn dimensions(&self) -> usize {
        match self {
            Self::Encoder(encoder) => encoder.dimensions(),
            Self::Table(table) => table.dimensions(),
        }
    }

    /// How many tokens are worth computing in one turn: enough that the matrices are large, and few enough that
    /// another text's turn comes soon (in release about 0.1 s of one core for 512 tokens of a small BERT).
    const fn tokens_at_once(&self) -> usize {
        match self {
            Self::Encoder(_) => 512,
            Self::Table(_) => 64 * 1024,
        }
    }

    fn vectors(&self, sequences: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let mut vectors = match self {
            Self::Encoder(encoder) => encoder.vectors(sequences),
            Self::Table(table) => sequences.iter().map(|tokens| table.vector(tokens)).collect(),
        };
        vectors.iter_mut().for_each(|vector| normalise(vector));
        vectors
    }
}

impl LocalModel {
    /// Reads the model in `directory`; its last name becomes part of the model's.
    ///
    /// # Errors
    /// [`AiError::Unusable`], which names the file and what is wrong with it.
    pub fn open(directory: &Path) -> Result<Self, AiError> {
        let model = directory::open(directory)
            .map_err(|problem| AiError::Unusable { directory: directory.to_owned(), problem })?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self { model: Arc::new(model), turns: Arc::new(Semaphore::new(cores)), cores })
    }

    /// Computes on a thread that may block, when it is this computation's turn. What is no longer waited for ends
    /// with the turn it has.
    async fn compute<T: Send + 'static>(&self, work: impl FnOnce(&Model) -> T + Send + 'static) -> Result<T, AiError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is never closed");
        let model = Arc::clone(&self.model);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&model)
        });
        done.await.map_err(|source| AiError::Interrupted { model: self.model.name.clone(), source })
    }

    async fn embed_all(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, AiError> {
        let mut vectors = vec![Vec::new(); texts.len()];
        let sequences = self.compute(move |model| model.tokens(&texts)).await??;
        let batches = batches(sequences, self.model.network.tokens_at_once());
        let mut computed = stream::iter(batches)
            .map(|Batch { places, sequences }| async move {
                let computed = self.compute(move |model| model.network.vectors(&sequences)).await?;
                Ok::<_, AiError>((places, computed))
            })
            .buffer_unordered(self.cores);
        while let Some((places, computed)) = computed.try_next().await? {
            for (place, vector) in places.into_iter().zip(computed) {
                vectors[place] = vector;
            }
        }
        Ok(vectors)
    }
}

impl fmt::Debug for LocalModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalModel").field("name", &self.model.name).finish_non_exhaustive()
    }
}

impl Embedder for LocalModel {
    fn model(&self) -> &str {
        &self.model.name
    }

    fn dimensions(&self) -> usize {
        self.model.network.dimensions()
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, AiError>> {
        self.embed_all(texts.to_vec()).boxed()
    }
}

impl Model {
    fn tokens(&self, texts: &[String]) -> Result<Vec<Vec<u32>>, AiError> {
        let special = matches!(self.network, Network::Encoder(_));
        let mut sequences = Vec::with_capacity(texts.len());
        for text in texts {
            let end = self.most_chars.and_then(|most| text.char_indices().nth(most)).map_or(text.len(), |(at, _)| at);
            let text = &text[..end];
            let read = if self.lower_case {
                self.tokenizer.encode_fast(text.to_lowercase(), special)
            } else {
                self.tokenizer.encode_fast(text, special)
            };
            let read =
                read.map_err(|error| AiError::Tokenizer { model: self.name.clone(), message: error.to_string() });
            sequences.push(read?.get_ids().to_vec());
        }
        Ok(sequences)
    }
}

/// Texts that are computed together, and where in the answer their vectors belong.
struct Batch {
    places: Vec<usize>,
    sequences: Vec<Vec<u32>>,
}

/// Groups texts, long ones first, so that the turns take about the same time and the last to end is a short one.
fn batches(sequences: Vec<Vec<u32>>, tokens_at_once: usize) -> Vec<Batch> {
    let mut sequences: Vec<(usize, Vec<u32>)> = sequences.into_iter().enumerate().collect();
    sequences.sort_by_key(|(_, tokens)| std::cmp::Reverse(tokens.len()));
    let mut batches: Vec<Batch> = Vec::new();
    let mut room = 0;
    for (place, tokens) in sequences {
        if tokens.len() > room || batches.is_empty() {
            batches.push(Batch { places: Vec::new(), sequences: Vec::new() });
            room = tokens_at_once;
        }
        room = room.saturating_sub(tokens.len().max(1));
        if let Some(batch) = batches.last_mut() {
            batch.places.push(place);
            batch.sequences.push(tokens);
        }
    }
    batches
}

/// Scales a vector to length 1. One that has no direction (a text of unknown words alone) gets the same share of
/// each, because a cosine of zero is undefined.
fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 && length.is_finite() {
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    } else {
        let share = 1.0 / (vector.len() as f32).sqrt();
        vector.fill(share);
    }
}
