//! What the errors of our own crates mean for a job: give up, or try again.

use gristmill_ai::AiError;
use gristmill_content::{ContentError, FeedError};
use gristmill_engine::{Failure, JobError};
use gristmill_fetch::FetchError;
use gristmill_files::FilesError;

/// The same bytes give the same error again.
pub(super) fn content(error: &ContentError) -> JobError {
    JobError::permanent(error.code(), error.to_string())
}

/// The feed is what it is until its owner mends it; the next poll sees.
pub(super) fn feed(error: &FeedError) -> JobError {
    JobError::permanent(error.code(), error.to_string())
}

/// Servers come back; forbidden addresses do not become allowed.
pub(super) fn fetch(error: &FetchError) -> JobError {
    let failure = with_cause(Failure::new(error.code(), sentence(&error.to_string())), error);
    if error.is_transient() {
        JobError::Transient { failure, after: error.retry_after() }
    } else {
        JobError::Permanent(failure)
    }
}

/// Disks and buckets are mended while jobs wait; a missing file is missing.
pub(super) fn files(error: &FilesError) -> JobError {
    let failure = with_cause(Failure::new(error.code(), sentence(&error.to_string())), error);
    if error.is_transient() { JobError::Transient { failure, after: None } } else { JobError::Permanent(failure) }
}

/// A model that gave no answer.
pub(super) fn ai(error: &AiError) -> JobError {
    let failure = with_cause(Failure::new(error.code(), sentence(&error.to_string())), error);
    if error.is_transient() { JobError::Transient { failure, after: None } } else { JobError::Permanent(failure) }
}

fn with_cause(failure: Failure, error: &dyn std::error::Error) -> Failure {
    match error.source() {
        Some(cause) => failure.with_detail(cause.to_string()),
        None => failure,
    }
}

/// Error texts begin in lower case and end without a stop; sentences do not.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
