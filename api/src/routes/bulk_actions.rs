//! `/v1/bulk-actions`: doing one thing to every job that a filter fits, as a job of its own.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use gristmill_engine::{NewJob, control::Action, state::State as JobState};
use gristmill_store::{
    jobs::{self, Filter},
    keys::Scope,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    app::Shared,
    auth::{Caller, Operate},
    body::JsonBody,
    idempotency::{Answer, Repeat, once},
    observe::RequestId,
    openapi::{IdempotencyHeader, PreferHeader},
    problem::ApiError,
    routes::{
        documents::create::ours,
        jobs::{JobBody, JobFilter, accepted, location, submitted},
    },
    wait::{Prefer, Stopping},
};

/// The kind of job that does it.
const KIND: &str = "jobs.bulk";
/// Matches are counted no further.
const MOST: i64 = 1_000_000;

/// Refuses the kind that only this resource hands in: it does what needs the scopes that are asked for here.
pub(crate) fn not_by_hand(kind: &str, pointer: &str) -> Result<(), ApiError> {
    if kind == KIND {
        return Err(ApiError::field(pointer, format!("{KIND} is handed in by POST /v1/bulk-actions only")));
    }
    Ok(())
}

/// What is to be done to many jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    /// Let those that failed or were cancelled run once more.
    Retry,
    /// Call those off that are not over.
    Cancel,
    /// Remove those that are over, with their histories. Needs the scope admin.
    Delete,
    /// Give those that have not started another priority.
    SetPriority,
}

/// Something to be done to every job that a filter fits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    /// What.
    action: Wanted,
    /// The new priority, 0 (first) to 9, where that is what is to be set.
    #[schema(minimum = 0, maximum = 9)]
    priority: Option<i16>,
    /// Which jobs; `{}` for all of the organization. Jobs that the action does not fit are left as they are.
    filter: JobFilter,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

/// How many jobs it would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkMatches {
    /// Jobs that the filter and the action fit, counted up to a million. Those that are to be retried and whose unique key
    /// another one has by now are among them.
    pub matches: i64,
    /// True where there may be more.
    pub at_least: bool,
}

impl BulkRequest {
    fn action(&self) -> Result<Action, ApiError> {
        match (self.action, self.priority) {
            (Wanted::SetPriority, Some(priority @ 0..=9)) => Ok(Action::SetPriority(priority)),
            (Wanted::SetPriority, _) => Err(ApiError::field("/priority", "is 0 to 9")),
            (_, Some(_)) => Err(ApiError::field("/priority", "is for set_priority only")),
            (Wanted::Retry, None) => Ok(Action::Retry),
            (Wanted::Cancel, None) => Ok(Action::Cancel),
            (Wanted::Delete, None) => Ok(Action::Delete),
        }
    }
}

/// Do something to every job that a filter fits: those that were there when it was asked for.
#[utoipa::path(post, path = "/v1/bulk-actions", tag = "Jobs", request_body = BulkRequest,
    params(IdempotencyHeader, PreferHeader),
    responses((status = 200, description = "A dry run: how many it would be", body = BulkMatches),
              (status = 202, description = "A job does it, with progress; it can be cancelled", body = JobBody,
                  headers(("location", description = "Where the job is found")))))]
pub(crate) async fn create(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    repeat: Repeat,
    prefer: Prefer,
    stop: Stopping,
    request_id: RequestId,
    body: JsonBody<BulkRequest>,
) -> Result<Response, ApiError> {
    let (request, bytes) = (body.value, body.bytes);
    let action = request.action()?;
    if action == Action::Delete {
        caller.need(Scope::Admin)?;
    }
    let dry_run = request.dry_run;
    let filter = request.filter.check("/filter/")?;
    let tx = app.engine.db().org(caller.org).await?;
    if dry_run {
        let matches = jobs::count(&tx, &fitting(filter, action), MOST).await?;
        tx.commit().await?;
        return Ok(axum::Json(BulkMatches { matches, at_least: matches == MOST }).into_response());
    }
    let job = NewJob::new(KIND, json!({ "action": action, "filter": filter }));
    let (id, job) = (job.id, NewJob { request_id: Some(request_id.0), ..job });
    let done = once(&tx, caller.org, &repeat, repeat.json(&bytes), async {
        ours(KIND, app.engine.submit(&tx, job).await)?;
        let body = JobBody::seen_by(submitted(&tx, id).await?, &caller);
        Ok(Answer::new(StatusCode::ACCEPTED, &body)?.at(location(id)))
    })
    .await?;
    tx.commit().await?;
    app.engine.nudge();
    app.engine.announce(&[id]);
    accepted(&app, &caller, &stop, prefer, id, done).await
}

/// The filter, narrowed to jobs in states that the action fits.
fn fitting(filter: Filter, action: Action) -> Filter {
    let states = JobState::ALL.into_iter().filter(|state| action.fits(*state)).map(|state| state.name().to_owned());
    Filter { states: Some(states.collect()), ..filter }
}
