//! Errors as the outside sees them: `application/problem+json` (RFC 9457).
//!
//! [`ApiError`] is what handlers return; the table of [`ProblemType`]s in `kinds` says what each becomes. The body is
//! written by `complete`, which knows the request's id, so a handler need not.

mod kinds;

use std::{error::Error, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use gristmill_ai::AiError;
use gristmill_core::ids::JobId;
use gristmill_engine::{delivery::DeliveryError, state::State, submit::SubmitError};
use gristmill_fetch::FetchError;
use gristmill_files::FilesError;
use gristmill_store::{StoreError, keys::Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::kinds::ProblemType;

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// Seconds after which asking again makes sense when a store could not be reached.
const RETRY_AFTER_S: u64 = 5;

/// A part of the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where in the body, as a JSON Pointer (RFC 6901); for a query parameter or header, its name.
    #[schema(example = "/args/document_id")]
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl FieldError {
    /// Something wrong at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// The body of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The type of problem: a stable URI path.
    #[schema(example = "/problems/not-found")]
    pub r#type: String,
    /// What the type means, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// What is wrong this time, in a sentence to act on.
    pub detail: String,
    /// The parts of the request that are wrong, where it is those.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<FieldError>,
    /// The job's state, where that is what does not allow the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<String>,
    /// The job that has the unique key, where that is what does not allow the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job_id: Option<String>,
    /// The jobs of a batch that were refused, where one of them made all be.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schema(no_recursion)]
    pub rejected: Vec<Rejected>,
    /// The request's id, which finds its log lines.
    pub request_id: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

/// A job of a batch that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rejected {
    /// Its place in `jobs`, from 0.
    pub index: usize,
    /// Why; its pointers lead into that job.
    pub problem: Problem,
}

/// Why a request was not answered as it hoped. The text of each variant is the problem's `detail`, except where the
/// cause is none of the caller's business.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No key, or one that is not valid.
    #[error("Send a valid API key as \"Authorization: Bearer <key>\".")]
    Unauthorized,
    /// The key lacks a scope.
    #[error("This needs a key with the scope \"{0}\".")]
    ScopeMissing(Scope),
    /// Only administrators of the installation may do it.
    #[error("Only a key with the scope \"admin\" of the organization \"default\" may do this.")]
    InstallationOnly,
    /// There is none, or it is another organization's.
    #[error("There is no {0} with this id that this key can see.")]
    NotFound(&'static str),
    /// No such address.
    #[error("There is nothing at this address; /docs lists what there is.")]
    NoRoute,
    /// The address exists, the method does not.
    #[error("This address does not take this method; the Allow header lists those it takes.")]
    MethodNotAllowed,
    /// The request cannot be understood.
    #[error("{detail}")]
    Invalid {
        /// What is wrong as a whole.
        detail: String,
        /// What is wrong where.
        errors: Vec<FieldError>,
    },
    /// The body is of another type than the address takes.
    #[error("Send the body as {0}.")]
    UnsupportedMedia(&'static str),
    /// The body did not come to its end in time.
    #[error("The body broke off, or nothing of it came for too long; send the request again.")]
    BodyIncomplete,
    /// The body, or the file in it, is larger than allowed.
    #[error("At most {limit_bytes} bytes are accepted here.")]
    TooLarge {
        /// The most bytes.
        limit_bytes: u64,
    },
    /// A document without a byte.
    #[error("The document has no content.")]
    EmptyDocument,
    /// An address that cannot or may not be fetched.
    #[error("{0}")]
    Url(FetchError),
    /// A text that is no URL.
    #[error("\"{0}\" is not an absolute URL.")]
    NotAUrl(String),
    /// A kind that no worker knows.
    #[error("There is no kind of job called \"{kind}\"; GET /v1/kinds lists those that exist.")]
    UnknownKind {
        /// The name.
        kind: String,
        /// Where it stands in the body.
        pointer: String,
    },
    /// Arguments that the kind does not accept.
    #[error("The arguments do not fit the kind of job.")]
    Args(Vec<FieldError>),
    /// The job is in a state that does not allow the action.
    #[error("The job is {state}; it cannot be {wanted}.")]
    State {
        /// Where the job stands.
        state: State,
        /// What was wanted of it, as a participle.
        wanted: &'static str,
    },
    /// There is a job with the same unique key.
    #[error("{0} has the same unique key and is not over; wait for its end, or cancel it.")]
    Duplicate(JobId),
    /// There is one again, now that a job is to be run once more.
    #[error("Another job with the same unique key is not over; wait for its end, or cancel it.")]
    Rivalled,
    /// It is to follow a job that did not succeed.
    #[error("A job that it is to follow did not succeed; retry that one, and this one waits for it again.")]
    Blocked,
    /// A job cannot follow what it is to follow.
    #[error("The job cannot be accepted: {0}.")]
    After(String),
    /// A job of a batch that is to be accepted as a whole was refused.
    #[error("{} of the jobs cannot be accepted, so none was; rejected says which and why.", .0.len())]
    BatchRejected(Vec<Rejected>),
    /// An organization has as many limits as it may.
    #[error("There are {0} limits already; remove one that is not needed.")]
    TooManyLimits(usize),
    /// What was asked for is still being made, or could not be.
    #[error("{0}")]
    NotReady(String),
    /// A name that must be unique is not.
    #[error("There is an organization called \"{0}\" already.")]
    NameTaken(String),
    /// Search uses the embedding space, or a job builds it.
    #[error(
        "Search uses this embedding space, or a job is building it; let another one take its place, or cancel the job."
    )]
    SpaceInUse,
    /// The model that the organization's vectors were made with cannot be asked.
    #[error("The embedding model \"{0}\" is not configured any more; make another space by POST /v1/embedding-spaces.")]
    ModelNotConfigured(String),
    /// The first request with the idempotency key has not ended.
    #[error("A request with this Idempotency-Key is being answered; send it again in a second.")]
    InFlight,
    /// The idempotency key came with another request before.
    #[error("This Idempotency-Key came with another request within the last 24 hours; use a new one for each request.")]
    KeyReused,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file storage.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The delivery.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// A model.
    #[error(transparent)]
    Model(#[from] AiError),
    /// A kind that this server itself submits is not known: no worker ever ran.
    #[error("no worker or migration has published the kind of job {0} yet")]
    KindMissing(&'static str),
    /// A broken promise of our own code.
    #[error("{0}")]
    Internal(String),
}

impl ApiError {
    /// A request that is wrong in one place.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = FieldError::new(pointer, detail);
        let detail = format!("{}: {}", error.pointer, error.detail);
        Self::Invalid { detail, errors: vec![error] }
    }

    /// Which type of problem this is.
    pub fn problem_type(&self) -> ProblemType {
        match self {
            Self::Unauthorized => ProblemType::Unauthorized,
            Self::ScopeMissing(_) | Self::InstallationOnly => ProblemType::Forbidden,
            Self::NotFound(_) | Self::NoRoute => ProblemType::NotFound,
            Self::MethodNotAllowed => ProblemType::MethodNotAllowed,
            Self::Invalid { .. } => ProblemType::InvalidRequest,
            Self::UnsupportedMedia(_) => ProblemType::UnsupportedMedia,
            Self::BodyIncomplete => ProblemType::BodyIncomplete,
            Self::TooLarge { .. } => ProblemType::TooLarge,
            Self::EmptyDocument => ProblemType::EmptyDocument,
            Self::Url(FetchError::AddressNotAllowed { .. }) => ProblemType::AddressNotAllowed,
            Self::Url(_) | Self::NotAUrl(_) => ProblemType::InvalidUrl,
            Self::UnknownKind { .. } => ProblemType::UnknownKind,
            Self::Args(_) => ProblemType::InvalidArgs,
            Self::State { .. } | Self::Blocked => ProblemType::StateConflict,
            Self::Duplicate(_) | Self::Rivalled => ProblemType::DuplicateJob,
            Self::After(_) => ProblemType::InvalidDependency,
            Self::BatchRejected(_) => ProblemType::BatchRejected,
            Self::TooManyLimits(_) => ProblemType::TooManyLimits,
            Self::NotReady(_) => ProblemType::NotReady,
            Self::NameTaken(_) => ProblemType::NameTaken,
            Self::SpaceInUse => ProblemType::SpaceInUse,
            Self::ModelNotConfigured(_) => ProblemType::ModelNotConfigured,
            Self::InFlight => ProblemType::IdempotencyInFlight,
            Self::KeyReused => ProblemType::IdempotencyKeyReused,
            Self::Files(FilesError::TooLarge { .. }) => ProblemType::TooLarge,
            Self::Store(error) if error.is_unavailable() => ProblemType::Unavailable,
            Self::Files(error) if error.is_transient() => ProblemType::Unavailable,
            Self::Model(error) if error.is_transient() => ProblemType::Unavailable,
            Self::Delivery(_) | Self::KindMissing(_) => ProblemType::Unavailable,
            Self::Store(_) | Self::Files(_) | Self::Model(_) | Self::Internal(_) => ProblemType::Internal,
        }
    }

    /// The body of the answer to the request called `request_id`.
    pub fn problem(&self, request_id: &str) -> Problem {
        let kind = self.problem_type();
        let detail = match kind {
            ProblemType::Internal => "The request failed on our side; its id finds the reason in our log.".to_owned(),
            ProblemType::Unavailable => {
                "A part of the service cannot be reached; try again in a few seconds.".to_owned()
            }
            _ => self.to_string(),
        };
        let errors = match self {
            Self::Invalid { errors, .. } | Self::Args(errors) => errors.clone(),
            Self::UnknownKind { pointer, .. } => vec![FieldError::new(pointer, "no kind has this name")],
            Self::After(why) => vec![FieldError::new("/after", why)],
            _ => Vec::new(),
        };
        let rejected = if let Self::BatchRejected(rejected) = self { rejected.clone() } else { Vec::new() };
        let job_id = if let Self::Duplicate(job) = self { Some(job.to_string()) } else { None };
        let state = if let Self::State { state, .. } = self { Some(state.name().to_owned()) } else { None };
        Problem {
            r#type: format!("/problems/{}", kind.name()),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail,
            errors,
            state,
            job_id,
            rejected,
            request_id: request_id.to_owned(),
            retryable: kind.retryable(),
        }
    }

    fn retry_after_s(&self) -> Option<u64> {
        match self.problem_type() {
            ProblemType::IdempotencyInFlight => Some(1),
            ProblemType::Unavailable => Some(RETRY_AFTER_S),
            _ => None,
        }
    }

    /// The error with its causes, for the log.
    fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let behind = error.to_string();
            // Some libraries repeat their cause in their own text.
            if !text.contains(&behind) {
                text.push_str(": ");
                text.push_str(&behind);
            }
            cause = error.source();
        }
        text
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        refused(error, "")
    }
}

/// Why a job was refused that stands at `root` in the body.
fn refused(error: SubmitError, root: &str) -> ApiError {
    match error {
        SubmitError::UnknownKind(kind) => ApiError::UnknownKind { kind, pointer: format!("{root}/kind") },
        SubmitError::Args(problems) => ApiError::Args(
            problems.into_iter().map(|at| FieldError::new(format!("{root}/args{}", at.pointer), at.detail)).collect(),
        ),
        SubmitError::FollowUp(name, why) => refused(*why, &format!("{root}/{name}")),
        SubmitError::After(why) => ApiError::After(why.to_string()),
        SubmitError::Duplicate(job) => ApiError::Duplicate(job),
        SubmitError::Store(error) => ApiError::Store(error),
    }
}

impl From<FetchError> for ApiError {
    fn from(error: FetchError) -> Self {
        Self::Url(error)
    }
}

/// An error on its way to [`complete`].
#[derive(Clone)]
struct Raised(Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        let status = axum::http::StatusCode::from_u16(self.problem_type().status());
        *response.status_mut() = status.unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(Raised(Arc::new(self)));
        response
    }
}

/// Gives the answer to the request called `request_id` its body, if it is a problem, and logs what is our fault.
pub(crate) fn complete(mut response: Response, request_id: &str) -> Response {
    let Some(Raised(error)) = response.extensions_mut().remove::<Raised>() else { return response };
    if error.problem_type().status() >= 500 {
        tracing::error!(error = error.with_causes(), code = error.problem_type().name(), "the request failed");
    }
    let body = serde_json::to_vec(&error.problem(request_id)).unwrap_or_default();
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if let Some(seconds) = error.retry_after_s() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error.problem_type() == ProblemType::Unauthorized {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gristmill\""));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{ApiError, ProblemType};
    use axum::http::StatusCode;

    #[test]
    fn every_type_has_a_name_of_its_own_and_a_status_of_an_error() {
        let mut names: Vec<_> = ProblemType::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ProblemType::ALL.len());
        for kind in ProblemType::ALL {
            assert!(StatusCode::from_u16(kind.status()).unwrap().as_u16() >= 400, "{kind:?}");
            assert!(kind.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{kind:?}");
        }
    }

    #[test]
    fn a_failure_of_ours_does_not_tell_its_cause() {
        let problem = ApiError::Internal("the password is hunter2".to_owned()).problem("r1");
        assert_eq!((problem.status, problem.retryable), (500, false));
        assert!(!serde_json::to_string(&problem).unwrap().contains("hunter2"));
        assert!(ApiError::KindMissing("feed.poll").problem("r1").retryable);
    }

    #[test]
    fn a_wrong_field_is_pointed_at() {
        let problem = ApiError::field("/priority", "is above 9").problem("r1");
        assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (400, "/priority"));
        assert_eq!(problem.r#type, "/problems/invalid-request");
    }
}
