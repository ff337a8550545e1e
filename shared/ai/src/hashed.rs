//! `local/hashed-ngrams-512`: embeddings by feature hashing, so that a first run needs no network, key or download.
//!
//! Signed feature hashing after Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (ICML 2009):
//! each feature adds its weight, with a sign, to one of 512 buckets chosen by its XXH64 hash. Texts that share word
//! stems, neighbouring words or parts of words land near one another; texts that say the same in entirely other
//! words do not, which is the limit of this model.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use xxhash_rust::xxh64::xxh64;

use crate::words::{Analyser, Word};
use crate::{AiError, Embedder};

const MODEL: &str = "local/hashed-ngrams-512";
const DIMENSIONS: usize = 512;

/// Batches above this many bytes of text are computed off the async threads. Measured in release on one core of a
/// small machine: 5 MB/s, so what stays inline holds a thread for less than a millisecond.
const INLINE_BYTES: usize = 4 * 1024;

/// A kind of feature: the seed keeps equal bytes of different kinds apart, the weight says how much one is worth, and
/// the spread over how many buckets it goes. Spread thin, two words that meet in one bucket by chance look a little
/// alike instead of a fifth alike, which is what one of five words is worth.
struct Kind {
    seed: u64,
    weight: f64,
    spread: u32,
}

const STEM: Kind = Kind { seed: 1, weight: 1.0, spread: 4 };
const BIGRAM: Kind = Kind { seed: 2, weight: 0.6, spread: 4 };
/// Character n-grams by length 3, 4 and 5: one word of eight letters has 21 of them, so each is worth little.
const GRAMS: [(usize, Kind); 3] = [
    (3, Kind { seed: 3, weight: 0.12, spread: 1 }),
    (4, Kind { seed: 4, weight: 0.18, spread: 1 }),
    (5, Kind { seed: 5, weight: 0.22, spread: 1 }),
];
/// The single feature of a text without words, so that no vector is ever zero (a cosine of zero is undefined).
const NOTHING: Kind = Kind { seed: 6, weight: 1.0, spread: 1 };

/// The embedder `local/hashed-ngrams-512`: 512 dimensions, L2-normalised, the same vector for the same text forever.
///
/// Features are the stems of words (stop words left out, unless nothing else is there), pairs of neighbouring stems,
/// and the character 3- to 5-grams of each word with its edges marked. A feature seen `n` times counts √n times
/// (sublinear; a root and not a logarithm, because IEEE 754 fixes its last bit on every machine and so the vector).
#[derive(Debug, Clone, Copy, Default)]
pub struct HashedNgrams;

impl HashedNgrams {
    /// The vector of one text, computed on the calling thread.
    #[must_use]
    pub fn vector(self, text: &str) -> Vec<f32> {
        embed_one(&Analyser::new(), text)
    }
}

impl Embedder for HashedNgrams {
    fn model(&self) -> &str {
        MODEL
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    /// Little, so that this model decides between what words find nearly alike: at 0.2 hybrid search gains 0.007 of nDCG@10
    /// on cranfield and loses 0.030 on scifact (`bench/eval/search.py`).
    fn weight(&self) -> f64 {
        0.05
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, AiError>> {
        async move {
            if texts.iter().map(String::len).sum::<usize>() <= INLINE_BYTES {
                return Ok(embed_all(texts));
            }
            let texts = texts.to_vec();
            tokio::task::spawn_blocking(move || embed_all(&texts))
                .await
                .map_err(|source| AiError::Interrupted { model: MODEL.to_owned(), source })
        }
        .boxed()
    }
}

fn embed_all(texts: &[String]) -> Vec<Vec<f32>> {
    let analyser = Analyser::new();
    texts.iter().map(|text| embed_one(&analyser, text)).collect()
}

fn embed_one(analyser: &Analyser, text: &str) -> Vec<f32> {
    let words = analyser.words(text);
    let only_stop_words = words.iter().all(|word| word.stop);
    let content: Vec<&Word> = words.iter().filter(|word| only_stop_words || !word.stop).collect();

    let mut buckets = [0.0_f64; DIMENSIONS];
    add(&mut buckets, &STEM, content.iter().map(|word| hash(&STEM, word.stem.as_bytes())).collect());
    add(&mut buckets, &BIGRAM, bigrams(&content));
    for (length, kind) in &GRAMS {
        add(&mut buckets, kind, grams(&content, *length, kind));
    }
    // Opposite signs in one bucket can cancel exactly, so this asks the sum and not the list of words.
    if buckets.iter().all(|bucket| *bucket == 0.0) {
        add(&mut buckets, &NOTHING, vec![hash(&NOTHING, text.trim().as_bytes())]);
    }
    normalised(&buckets)
}

fn hash(kind: &Kind, bytes: &[u8]) -> u64 {
    xxh64(bytes, kind.seed)
}

fn bigrams(words: &[&Word]) -> Vec<u64> {
    words
        .windows(2)
        .map(|pair| hash(&BIGRAM, [pair[0].stem.as_bytes(), b" ", pair[1].stem.as_bytes()].concat().as_slice()))
        .collect()
}

/// The character `length`-grams of every word, its edges marked with `<` and `>`.
fn grams(words: &[&Word], length: usize, kind: &Kind) -> Vec<u64> {
    let mut hashes = Vec::new();
    for word in words {
        let marked = format!("<{}>", word.surface);
        let edges: Vec<usize> = marked.char_indices().map(|(at, _)| at).chain([marked.len()]).collect();
        hashes.extend(edges.windows(length + 1).map(|span| hash(kind, &marked.as_bytes()[span[0]..span[length]])));
    }
    hashes
}

/// Adds each distinct feature once, √count times its weight. Sorted first: floating-point sums depend on their order.
///
/// Of a feature's 64 bits of hash, every ten from the lowest on choose a bucket (nine bits) and a sign (one).
fn add(buckets: &mut [f64; DIMENSIONS], kind: &Kind, mut hashes: Vec<u64>) {
    hashes.sort_unstable();
    for run in hashes.chunk_by(|a, b| a == b) {
        #[expect(clippy::cast_precision_loss, reason = "no text has 2^52 words")]
        let value = kind.weight * (run.len() as f64 / f64::from(kind.spread)).sqrt();
        for slice in 0..kind.spread {
            let bits = run[0] >> (10 * slice);
            #[expect(clippy::cast_possible_truncation, reason = "the remainder is below 512")]
            let bucket = (bits % DIMENSIONS as u64) as usize;
            buckets[bucket] += if bits >> 9 & 1 == 0 { value } else { -value };
        }
    }
}

fn normalised(buckets: &[f64; DIMENSIONS]) -> Vec<f32> {
    let length = buckets.iter().map(|value| value * value).sum::<f64>().sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "vectors are stored as f32")]
    buckets.iter().map(|value| (value / length) as f32).collect()
}
