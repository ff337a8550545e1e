//! What can go wrong when a model is asked.

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
}

impl AiError {
    /// A stable kebab-case name for the kind of failure, fit for rows, metrics and API answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Interrupted { .. } => "model-interrupted",
        }
    }

    /// Whether asking again later may succeed without anything being changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // A panic would come again with the same input; a cancelled task would not.
            Self::Interrupted { source, .. } => !source.is_panic(),
        }
    }
}
