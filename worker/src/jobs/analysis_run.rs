//! `analysis.run`: an analysis task over a text or a document.

use std::time::Duration;

use gristmill_ai::{Summary, summarise};
use gristmill_core::ids::DocumentId;
use gristmill_engine::{Job, JobError, Queue};
use gristmill_store::documents;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Ctx, Services};

/// Runs an analysis task.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunAnalysis {
    /// Which task.
    pub task: Task,
    /// What over.
    pub input: Input,
    /// How.
    #[serde(default)]
    pub options: Options,
}

/// The tasks there are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// The sentences that carry the text.
    Summary,
}

/// What an analysis reads.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// This text.
    Text(String),
    /// The text of this document.
    DocumentId(DocumentId),
}

/// How an analysis is made.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The most sentences of a summary.
    #[serde(default = "sentences")]
    #[schemars(range(min = 1, max = 50))]
    pub max_sentences: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_sentences: sentences() }
    }
}

const fn sentences() -> usize {
    5
}

/// What came of an analysis.
#[derive(Debug, Serialize)]
pub struct Analysis {
    output: Output,
    /// Where in the input each sentence stands, in Unicode scalar values.
    citations: Vec<Citation>,
    model: &'static str,
}

#[derive(Debug, Serialize)]
struct Output {
    summary: String,
}

#[derive(Debug, Serialize)]
struct Citation {
    text: String,
    start: usize,
    end: usize,
}

impl Job<Services> for RunAnalysis {
    const KIND: &'static str = "analysis.run";
    const ABOUT: &'static str = "Runs an analysis task over a text or a document.";
    const QUEUE: Queue = Queue::Ai;
    const TIMEOUT: Duration = Duration::from_mins(10);

    type Output = Analysis;

    async fn run(self, ctx: &Ctx) -> Result<Analysis, JobError> {
        let text = match self.input {
            Input::Text(text) => text,
            Input::DocumentId(id) => {
                let tx = ctx.begin().await?;
                let text = documents::text(&tx, id).await?;
                tx.commit().await?;
                let missing = "There is no such document, or it has no text yet; wait until its status is ready.";
                text.ok_or_else(|| JobError::permanent("document-not-ready", missing))?
            }
        };
        match self.task {
            Task::Summary => {
                let most = self.options.max_sentences;
                Ok(tokio::task::spawn_blocking(move || summary(&summarise(&text, most))).await?)
            }
        }
    }
}

fn summary(found: &Summary) -> Analysis {
    let texts: Vec<&str> = found.sentences.iter().map(|sentence| sentence.text.as_str()).collect();
    let citations = found
        .sentences
        .iter()
        .map(|sentence| Citation { text: sentence.text.clone(), start: sentence.start, end: sentence.end })
        .collect();
    Analysis { output: Output { summary: texts.join(" ") }, citations, model: found.model }
}
