//! A kind of job: its arguments, its limits and its code.

use std::{error::Error, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::{backoff::Backoff, ctx::Ctx, queue::Queue};

/// A kind of job. The implementing struct is the job's arguments; `S` is what the worker lends it (stores, models).
///
/// A kind that is not in a list made by [`job_kinds!`](crate::job_kinds) does not compile:
///
/// ```compile_fail,E0277
/// use gristmill_engine::{Ctx, Job, JobError, Queue};
///
/// /// A kind that somebody forgot to list.
/// #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
/// struct Forgotten {}
///
/// impl Job<()> for Forgotten {
///     const KIND: &'static str = "forgotten";
///     const ABOUT: &'static str = "Is never run.";
///     const QUEUE: Queue = Queue::Default;
///     type Output = ();
///     async fn run(self, _: &Ctx<()>) -> Result<(), JobError> {
///         Ok(())
///     }
/// }
/// ```
pub trait Job<S>: Listed + Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// Its name, such as `document.ingest`. It stands in the database: changing it strands the jobs that wait.
    const KIND: &'static str;
    /// What it does, in a sentence.
    const ABOUT: &'static str;
    /// Where it waits.
    const QUEUE: Queue;
    /// How often it may be started before it counts as failed.
    const MAX_ATTEMPTS: u16 = 5;
    /// How long one attempt may take.
    const TIMEOUT: Duration = Duration::from_mins(10);
    /// How long it waits between attempts.
    const BACKOFF: Backoff = Backoff::DEFAULT;

    /// What it returns; kept as the job's result.
    type Output: Serialize + Send + 'static;

    /// Runs one attempt.
    ///
    /// A job that writes hands its writes to [`Ctx::finish`], so that they and its completion are one transaction.
    /// It may be run again from the start after a crash, at any point.
    ///
    /// # Errors
    /// See [`JobError`]; `?` makes anything transient.
    fn run(self, ctx: &Ctx<S>) -> impl Future<Output = Result<Self::Output, JobError>> + Send;
}

/// Marks a kind that stands in a list. Implemented by [`job_kinds!`](crate::job_kinds) alone.
pub trait Listed {}

/// Why an attempt ended without a result.
///
/// It does not implement [`Error`], so that `?` turns any error into a transient one and giving up is always
/// written out.
#[derive(Debug)]
pub enum JobError {
    /// Trying again cannot help.
    Permanent(Failure),
    /// Trying again may help, after the given time or after the kind's back-off.
    Transient {
        /// What went wrong.
        failure: Failure,
        /// How long to wait, where the other side said so.
        after: Option<Duration>,
    },
    /// Not now, through no fault of the job; this uses up no attempt.
    Snooze {
        /// How long to wait.
        wait: Duration,
        /// Why, in a sentence.
        why: String,
    },
    /// The job noticed that it was called off.
    Cancelled,
}

/// What went wrong, as it is kept with the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word for it, such as `pdf-damaged`.
    pub code: String,
    /// A sentence the job's owner can act on.
    pub message: String,
    /// The cause, for those who run Gristmill.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

impl Failure {
    /// A failure with a sentence for the job's owner.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), detail: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// A word that is the same for failures of the same sort: numbers and ids in the text do not count.
    pub fn fingerprint(&self, kind: &str) -> String {
        let what = self.detail.as_deref().unwrap_or(&self.message);
        let mut shape = String::with_capacity(what.len());
        for word in what.split_whitespace() {
            // Ids, hashes, numbers and addresses have digits; words that tell one error from another seldom do.
            shape.push_str(if word.contains(|letter: char| letter.is_ascii_digit()) { "#" } else { word });
            shape.push(' ');
        }
        let hash = Sha256::digest(format!("{kind}\n{}\n{shape}", self.code));
        hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As it is kept: with its fingerprint and the attempt it ended.
    pub(crate) fn to_json(&self, kind: &str, attempt: i32) -> Json {
        serde_json::json!({
            "code": self.code, "message": self.message, "detail": self.detail, "attempt": attempt,
            "fingerprint": self.fingerprint(kind),
        })
    }
}

impl JobError {
    /// Gives up, with a code and a sentence for the job's owner.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Permanent(Failure::new(code, message))
    }

    /// May be tried again, with a code and a sentence for the job's owner.
    pub fn transient(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Transient { failure: Failure::new(code, message), after: None }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        let mut detail = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            detail.push_str(": ");
            detail.push_str(&error.to_string());
            cause = error.source();
        }
        let message = "The attempt ended in an unexpected error on our side.";
        Self::Transient { failure: Failure::new("unexpected", message).with_detail(detail), after: None }
    }
}

/// Lists the kinds of job that exist for workers with services `$services`, as a function that returns them.
///
/// ```
/// # use gristmill_engine::{Ctx, Job, JobError, Queue};
/// # #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
/// # struct Greet {}
/// # impl Job<()> for Greet {
/// #     const KIND: &'static str = "greet";
/// #     const ABOUT: &'static str = "Says hello.";
/// #     const QUEUE: Queue = Queue::Default;
/// #     type Output = String;
/// #     async fn run(self, _: &Ctx<()>) -> Result<String, JobError> { Ok("hello".into()) }
/// # }
/// gristmill_engine::job_kinds! {
///     /// Every kind of job.
///     pub fn kinds() for () { Greet }
/// }
/// assert_eq!(kinds().names(), ["greet"]);
/// ```
#[macro_export]
macro_rules! job_kinds {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident() for $services:ty { $($kind:ty),* $(,)? }) => {
        $(impl $crate::job::Listed for $kind {})*

        $(#[$doc])*
        $visibility fn $name() -> $crate::kinds::Kinds<$services> {
            let mut kinds = $crate::kinds::Kinds::default();
            $(kinds.add::<$kind>();)*
            kinds
        }
    };
}

#[cfg(test)]
mod tests {
    use super::{Failure, JobError};

    #[test]
    fn failures_of_one_sort_have_one_fingerprint() {
        let of = |detail: &str| Failure::new("timeout", "…").with_detail(detail).fingerprint("feed.poll");
        assert_eq!(of("no answer from 10.0.0.1 in 30 s"), of("no answer from 10.0.0.2 in 31 s"));
        assert_ne!(of("no answer from 10.0.0.1 in 30 s"), of("connection refused by 10.0.0.1"));
    }

    #[test]
    fn any_error_is_transient_and_keeps_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        let JobError::Transient { failure, after: None } = Outer(std::io::Error::other("inner")).into() else {
            panic!("not transient");
        };
        assert_eq!(failure.detail.as_deref(), Some("outer: inner"));
    }
}
