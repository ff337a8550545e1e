//! Why a document was not read.

use std::io;

use gristmill_content::ContentError;

/// Why a document was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractorError {
    /// The document is at fault, and the reader knows how.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The reader crashed over the document, and would again.
    #[error("The document made its reader crash. Open it in the program it comes from, save it anew and try that.")]
    Crashed {
        /// What is known of the end, for those who run Gristmill.
        detail: String,
    },
    /// Somebody killed the reader: an operator, or the kernel for want of memory.
    #[error("The reader was killed before it had read the document. It will be tried again.")]
    Killed,
    /// The reader took too long.
    #[error(
        "Reading took longer than {limit_s} s and was stopped. Split the document, or raise GRISTMILL_EXTRACT_TIMEOUT_S."
    )]
    Timeout {
        /// How long it may take, in seconds.
        limit_s: u64,
    },
    /// The reader wanted too much memory.
    #[error(
        "Reading needs more than {limit_mb} MiB of memory. Split the document, or raise GRISTMILL_EXTRACT_MEMORY_MB."
    )]
    Memory {
        /// How much it may have besides the document itself, in MiB.
        limit_mb: u64,
    },
    /// No reader could be started.
    #[error("The process that reads documents cannot be started.")]
    Unavailable(#[source] io::Error),
}

impl ExtractorError {
    /// The stable, kebab-case name of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Content(error) => error.code(),
            Self::Crashed { .. } | Self::Killed => "extractor-crashed",
            Self::Timeout { .. } => "extractor-timeout",
            Self::Memory { .. } => "extractor-memory",
            Self::Unavailable(_) => "extractor-unavailable",
        }
    }

    /// Whether trying again may help. It does not where the document is the cause.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Killed | Self::Unavailable(_))
    }

    /// What those who run Gristmill want to know besides.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Crashed { detail } => Some(detail.clone()),
            Self::Unavailable(error) => Some(error.to_string()),
            _ => None,
        }
    }
}
