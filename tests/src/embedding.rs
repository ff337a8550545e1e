//! An embedding model that writes down what it is paid for, and a reranker that is easily understood.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{FutureExt as _, future::BoxFuture};
use gristmill_ai::{AiError, Batching, Embedder, Reranker};

/// The environment variable that names the file a model of another process writes to.
pub const LEDGER: &str = "GRISTMILL_TEST_EMBEDDING_LEDGER";
/// The environment variable that says after how many calls a model of another process answers no more.
pub const MOST_CALLS: &str = "GRISTMILL_TEST_EMBEDDING_CALLS";

/// A model whose vectors tell which letters a text has, and which writes each text it was given into a file, a line each.
#[derive(Debug, Clone)]
pub struct Counting {
    name: String,
    dimensions: usize,
    batching: Batching,
    ledger: Arc<Mutex<File>>,
    path: PathBuf,
    calls: Arc<AtomicUsize>,
    most_calls: usize,
}

impl Counting {
    /// A model of this name that writes into the file `ledger`.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn new(name: &str, dimensions: usize, ledger: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(ledger).expect("the ledger can be written");
        Self {
            name: name.to_owned(),
            dimensions,
            batching: Batching { texts: 1, bytes: 1 << 20, in_flight: 4 },
            ledger: Arc::new(Mutex::new(file)),
            path: ledger.to_owned(),
            calls: Arc::default(),
            most_calls: usize::MAX,
        }
    }

    /// The same that answers so many calls and leaves all later ones without an answer.
    #[must_use]
    pub fn answering(mut self, calls: usize) -> Self {
        self.most_calls = calls;
        self
    }

    /// How often each text was paid for, by all processes together.
    ///
    /// # Panics
    /// When the file cannot be read.
    pub fn paid(&self) -> BTreeMap<String, usize> {
        let mut paid = BTreeMap::new();
        for line in std::fs::read_to_string(&self.path).expect("the ledger can be read").lines() {
            *paid.entry(line.to_owned()).or_default() += 1;
        }
        paid
    }
}

impl Embedder for Counting {
    fn model(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn batching(&self) -> Batching {
        self.batching
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, AiError>> {
        async move {
            if self.calls.fetch_add(1, Ordering::SeqCst) >= self.most_calls {
                return std::future::pending().await;
            }
            let mut ledger = self.ledger.lock().expect("nobody panics while writing");
            for text in texts {
                // One write per line: lines of several processes do not mix.
                let line = format!("{}\n", text.replace('\n', " "));
                ledger.write_all(line.as_bytes()).expect("the ledger can be written");
            }
            Ok(texts.iter().map(|text| letters(text, self.dimensions)).collect())
        }
        .boxed()
    }
}

/// How often a text has each letter, by its number, and a little of everything.
fn letters(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.01; dimensions];
    for letter in text.to_lowercase().chars().filter(|letter| letter.is_alphabetic()) {
        vector[letter as usize % dimensions] += 1.0;
    }
    vector
}

/// Puts short texts first.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShortFirst;

impl Reranker for ShortFirst {
    fn model(&self) -> &str {
        "test/short-first"
    }

    fn rerank<'a>(&'a self, _: &'a str, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<f32>, AiError>> {
        let length = |text: &String| f32::from(u16::try_from(text.chars().count()).unwrap_or(u16::MAX));
        async move { Ok(texts.iter().map(|text| -length(text)).collect()) }.boxed()
    }
}
