//! What the errors of our own crates mean for a job: give up, or try again.

use std::time::Duration;

use gristmill_ai::AiError;
use gristmill_content::FeedError;
use gristmill_engine::{Failure, JobError};
use gristmill_extractor::ExtractorError;
use gristmill_fetch::FetchError;
use gristmill_files::FilesError;

/// The same bytes give the same error again, unless somebody else killed their reader.
pub(super) fn extractor(error: &ExtractorError) -> JobError {
    let failure = Failure::new(error.code(), error.to_string());
    let failure = error.detail().into_iter().fold(failure, Failure::with_detail);
    if error.is_transient() { JobError::Transient { failure, after: None } } else { JobError::Permanent(failure) }
}

/// The feed is what it is until its owner mends it; the next poll sees.
pub(super) fn feed(error: &FeedError) -> JobError {
    JobError::permanent(error.code(), error.to_string())
}

/// The longest a server is left alone because it asks for it: who waits for the job should not wait for weeks to see
/// that it fails.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Servers come back; forbidden addresses do not become allowed. A server that asks to be left alone is, for a day at
/// most; one that asks for no time at all gets the pause that a failure has by itself.
pub(super) fn fetch(error: &FetchError) -> JobError {
    let failure = with_cause(Failure::new(error.code(), sentence(&error.to_string())), error);
    if error.is_transient() {
        let after = error.retry_after().filter(|wait| !wait.is_zero()).map(|wait| wait.min(LONGEST_WAIT));
        JobError::Transient { failure, after }
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
pub(crate) fn ai(error: &AiError) -> JobError {
    let failure = with_cause(Failure::new(error.code(), sentence(&error.to_string())), error);
    if error.is_transient() { JobError::Transient { failure, after: None } } else { JobError::Permanent(failure) }
}

/// Vectors of another model cannot be compared with those that are there.
pub(crate) fn model_gone(model: &str) -> JobError {
    let message = format!(
        "The embedding model {model} that this organization's search uses is not configured any more. Configure it, or make \
         another embedding space by POST /v1/embedding-spaces."
    );
    JobError::permanent("model-not-configured", message)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn status(status: u16, wait_s: Option<u64>) -> FetchError {
        FetchError::HttpStatus { status, retry_after: wait_s.map(Duration::from_secs) }
    }

    #[test]
    fn what_may_get_better_is_tried_again_when_the_server_says() {
        let day = 24 * 60 * 60;
        for (status_code, asked, expected) in
            [(429, Some(90), Some(90)), (503, None, None), (503, Some(0), None), (429, Some(9 * day), Some(day))]
        {
            let JobError::Transient { after, failure } = fetch(&status(status_code, asked)) else { panic!() };
            assert_eq!((after, failure.code.as_ref()), (expected.map(Duration::from_secs), "http-status"));
        }
        let source = Arc::new(status(503, None));
        let retry_after = Some(Duration::from_mins(5));
        let error = FetchError::RobotsUnreachable { host: "mill.test".to_owned(), retry_after, source };
        let JobError::Transient { after, failure } = fetch(&error) else { panic!() };
        assert_eq!((after, failure.code.as_ref()), (retry_after, "robots-unreachable"));
        assert!(failure.message.starts_with("The site mill.test") && failure.message.ends_with('.'), "{failure:?}");
    }

    #[test]
    fn what_will_not_get_better_is_given_up() {
        for error in [
            status(404, Some(90)),
            FetchError::AddressNotAllowed { host: "mill.test".to_owned() },
            FetchError::RobotsDisallowed { host: "mill.test".to_owned(), agent: "Gristmill".to_owned() },
            FetchError::TooLarge { limit_bytes: 5 },
            FetchError::TooManyRedirects { limit: 5 },
        ] {
            let JobError::Permanent(failure) = fetch(&error) else { panic!("{error}") };
            assert_eq!(failure.code, error.code());
        }
    }
}
