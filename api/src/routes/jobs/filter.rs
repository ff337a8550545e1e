//! Which jobs are meant: the same words for the list and for what is done to many at once.

use chrono::{DateTime, Utc};
use gristmill_core::ids::BatchId;
use gristmill_engine::{Queue, state::State};
use gristmill_store::jobs::Filter;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{params, problem::ApiError};

/// Which jobs are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// In this state.
    state: Option<String>,
    /// Of this kind.
    kind: Option<String>,
    /// In this queue.
    queue: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// Handed in together.
    batch_id: Option<String>,
    /// About the thing with this id.
    subject: Option<String>,
    /// That failed, last, with an error of this sort: the `fingerprint` of an error.
    error_fingerprint: Option<String>,
    /// Made at this time or later.
    created_after: Option<DateTime<Utc>>,
    /// Made before this time.
    created_before: Option<DateTime<Utc>>,
    /// With this text in their arguments, the message of their error or their subject.
    q: Option<String>,
    /// Rows per page, 1 to 200; 50 if not given.
    pub(super) limit: Option<u64>,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

/// Which jobs are meant; what is not given does not narrow.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JobFilter {
    /// In this state.
    state: Option<String>,
    /// Of this kind.
    kind: Option<String>,
    /// In this queue.
    queue: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// Handed in together.
    batch_id: Option<String>,
    /// About the thing with this id.
    subject: Option<String>,
    /// That failed, last, with an error of this sort: the `fingerprint` of an error.
    error_fingerprint: Option<String>,
    /// Made at this time or later.
    created_after: Option<DateTime<Utc>>,
    /// Made before this time.
    created_before: Option<DateTime<Utc>>,
    /// With this text in their arguments, the message of their error or their subject.
    q: Option<String>,
}

impl JobsQuery {
    /// The filter in the query.
    ///
    /// # Errors
    /// When something in it is out of bounds.
    pub(super) fn filter(self) -> Result<Filter, ApiError> {
        let Self {
            state,
            kind,
            queue,
            tag,
            batch_id,
            subject,
            error_fingerprint,
            created_after,
            created_before,
            q,
            ..
        } = self;
        let filter = JobFilter {
            state,
            kind,
            queue,
            tag,
            batch_id,
            subject,
            error_fingerprint,
            created_after,
            created_before,
            q,
        };
        filter.check("")
    }
}

impl JobFilter {
    /// The filter whose fields stand under `root` in the request.
    ///
    /// # Errors
    /// When something in it is out of bounds.
    pub(crate) fn check(self, root: &str) -> Result<Filter, ApiError> {
        let at = |name: &str| format!("{root}{name}");
        if let Some(Err(error)) = self.state.as_deref().map(str::parse::<State>) {
            return Err(ApiError::field(at("state"), error.to_string()));
        }
        if let Some(Err(error)) = self.queue.as_deref().map(str::parse::<Queue>) {
            return Err(ApiError::field(at("queue"), error.to_string()));
        }
        let batch = self.batch_id.map(|id| id.parse::<BatchId>()).transpose();
        params::length(&at("q"), self.q.as_deref(), 200)?;
        Ok(Filter {
            state: self.state,
            kind: self.kind,
            queue: self.queue,
            tag: self.tag,
            batch: batch.map_err(|error| ApiError::field(at("batch_id"), error.to_string()))?,
            subject: self.subject,
            error_fingerprint: self.error_fingerprint,
            created_after: params::plausible(&at("created_after"), self.created_after)?,
            created_before: params::plausible(&at("created_before"), self.created_before)?,
            text: self.q,
            ..Filter::default()
        })
    }
}
