//! What can go wrong when a model is asked.

use std::path::PathBuf;

/// Why a model gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AiError {
    /// The computation was stopped before it ended: the process is shutting down, or the computation panicked.
    #[error("the model {model} was interrupted before it answered; try again")]
    Interrupted {
        /// The model that was asked, such as `local/hashed-ngrams-512`.
        model: String,
        /// What the runtime said.
        #[source]
        source: tokio::task::JoinError,
    },
    /// A directory does not hold a model that can be computed here.
    #[error("the model in {} cannot be used: {problem}", directory.display())]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// Which file is wrong, and how.
        problem: String,
    },
    /// A model's tokenizer cannot read a text.
    #[error("the tokenizer of the model {model} cannot read a text")]
    Tokenizer {
        /// The model that was asked.
        model: String,
        /// What the tokenizer said.
        message: String,
    },
    /// The model answered with something else than was asked for.
    #[error("the model {model} gave {found} where {expected} was asked for")]
    Unexpected {
        /// The model that was asked.
        model: String,
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
}

impl AiError {
    /// A stable kebab-case name for the kind of failure, fit for rows, metrics and API answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Interrupted { .. } => "model-interrupted",
            Self::Unusable { .. } => "model-unusable",
            Self::Tokenizer { .. } => "model-tokenizer",
            Self::Unexpected { .. } => "model-unexpected",
        }
    }

    /// Whether asking again later may succeed without anything being changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // A panic would come again with the same input; a cancelled task would not.
            Self::Interrupted { source, .. } => !source.is_panic(),
            Self::Unusable { .. } | Self::Tokenizer { .. } | Self::Unexpected { .. } => false,
        }
    }
}
