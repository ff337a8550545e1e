//! `/v1/jobs:batch`: handing many jobs in at once, some of which may follow others of them.

mod sorted;

use std::collections::HashMap;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use gristmill_core::ids::{BatchId, JobId};
use gristmill_engine::{
    NewJob,
    edges::AfterProblem,
    submit::{FollowUp, SubmitError, Submitted},
};
use gristmill_store::{OrgTx, batches};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use self::sorted::{Item, Sorted};
use crate::{
    app::Shared,
    auth::{Caller, Submit},
    body,
    idempotency::{Answer, Done, Repeat, once},
    observe::RequestId,
    openapi::IdempotencyHeader,
    problem::{ApiError, Rejected},
    routes::jobs::{FollowUpRequest, JobRequest},
};

/// The most jobs of a batch.
const MOST: usize = 10_000;
/// The largest body, in bytes.
const LIMIT: u64 = 64 * 1024 * 1024;
/// A body of this size is read where it keeps no other request waiting.
const LARGE: usize = 256 * 1024;

/// Jobs to be, handed in together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The jobs, 1 to 10,000. One may follow another by naming its `ref` in `after`, wherever that one stands.
    #[schema(min_items = 1, max_items = 10_000)]
    jobs: Vec<JobRequest>,
    /// Accept all or none. If not given, those that cannot be accepted are left out.
    #[serde(default)]
    atomic: bool,
    /// A job that is handed in when all that are new are over, however they ended. It is about the batch.
    on_complete: Option<FollowUpRequest>,
}

/// The same, with the jobs not looked at yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unread {
    jobs: Vec<Json>,
    #[serde(default)]
    atomic: bool,
    on_complete: Option<Json>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchAccepted {
    /// The batch's id; its new jobs carry it.
    #[schema(value_type = String, example = "bat_01kahpz9vefv5r5j3s9x2e6d7k")]
    pub batch_id: BatchId,
    /// How many jobs were accepted.
    pub accepted: usize,
    /// For how many of these another job stands, with the same unique key. They are not of the batch.
    pub existing: usize,
    /// Those that were not accepted.
    pub rejected: Vec<Rejected>,
    /// The job of each place of `jobs`; null where it was not accepted.
    #[schema(value_type = Vec<Option<String>>)]
    pub job_ids: Vec<Option<JobId>>,
}

/// Hand in many jobs at once. They are written together; their histories begin without an announcement of their own.
#[utoipa::path(post, path = "/v1/jobs:batch", tag = "Jobs", request_body = BatchRequest, params(IdempotencyHeader),
    responses((status = 202, description = "Those that were accepted will run", body = BatchAccepted,
                  headers(("location", description = "Where the batch is found"))),
              (status = 422, description = "`batch-rejected`: one was not accepted and all were to be; \
                  `rejected` says which")))]
pub(crate) async fn batch(
    caller: Caller<Submit>,
    State(app): State<Shared>,
    repeat: Repeat,
    request_id: RequestId,
    request: Request,
) -> Result<Response, ApiError> {
    let bytes = body::json_bytes(request, LIMIT).await?;
    let whole = read(bytes.clone()).await?;
    if !(1..=MOST).contains(&whole.items.len()) {
        return Err(ApiError::field("/jobs", format!("has 1 to {MOST} jobs")));
    }
    let on_complete = whole.on_complete.map(|job| job.check("/on_complete")).transpose()?;
    let new = New { id: BatchId::generate(), atomic: whole.atomic, on_complete, request_id };
    let sorted = Sorted::of(whole.items, &new.request_id);
    let tx = app.engine.db().org(caller.org).await?;
    let done = once(&tx, caller.org, &repeat, repeat.json(&bytes), accept(&app, &tx, new, sorted)).await?;
    tx.commit().await?;
    if matches!(done, Done::New(_)) {
        app.engine.nudge();
    }
    Ok(done.into_response())
}

/// A batch as it was read.
#[derive(Debug)]
struct Whole {
    items: Vec<Item>,
    atomic: bool,
    on_complete: Option<FollowUpRequest>,
}

async fn read(bytes: Bytes) -> Result<Whole, ApiError> {
    if bytes.len() < LARGE {
        return read_now(&bytes);
    }
    let reading = tokio::task::spawn_blocking(move || read_now(&bytes));
    reading.await.map_err(|error| ApiError::Internal(format!("a batch could not be read: {error}")))?
}

/// All at once; only where something is wrong, job by job, so that the others are not held responsible.
fn read_now(bytes: &[u8]) -> Result<Whole, ApiError> {
    if let Ok(BatchRequest { jobs, atomic, on_complete }) = body::parse::<BatchRequest>(bytes, "") {
        return Ok(Whole { items: jobs.into_iter().map(Item::of).collect(), atomic, on_complete });
    }
    let Unread { jobs, atomic, on_complete } = body::whole(bytes, "")?;
    let on_complete = on_complete.map(|job| body::part(job, "/on_complete")).transpose()?;
    Ok(Whole { items: jobs.into_iter().map(Item::read).collect(), atomic, on_complete })
}

/// A batch that is to be written.
struct New {
    id: BatchId,
    atomic: bool,
    on_complete: Option<FollowUp>,
    request_id: RequestId,
}

/// Writes what can be accepted, and says what became of all of it.
async fn accept(app: &Shared, tx: &OrgTx, new: New, sorted: Sorted) -> Result<Answer, ApiError> {
    if let Some(follow_up) = &new.on_complete {
        app.engine.check_follow_up(tx, "on_complete", follow_up).await?;
    }
    let Sorted { jobs, places, refused, names } = sorted;
    let most = refused.len() + jobs.len();
    let mut problems: Vec<(usize, ApiError)> = refused;
    let mut job_ids = vec![None; most];
    let (mut accepted, mut existing) = (0, 0);
    let jobs = jobs.into_iter().map(|job| NewJob { batch: Some(new.id), ..job }).collect();
    for (place, answer) in places.into_iter().zip(app.engine.submit_many(tx, jobs).await?) {
        match answer {
            Ok(submitted) => {
                job_ids[place] = Some(submitted.id());
                accepted += 1;
                existing += usize::from(!matches!(submitted, Submitted::New(_)));
            }
            Err(error) => problems.push((place, named(error, &names))),
        }
    }
    problems.sort_by_key(|(index, _)| *index);
    let rejected = |(index, error): (usize, ApiError)| Rejected { index, problem: error.problem(&new.request_id.0) };
    let rejected: Vec<Rejected> = problems.into_iter().map(rejected).collect();
    if new.atomic && !rejected.is_empty() {
        return Err(ApiError::BatchRejected(rejected));
    }
    keep(app, tx, &new, accepted - existing).await?;
    let body = BatchAccepted { batch_id: new.id, accepted, existing, rejected, job_ids };
    Ok(Answer::new(StatusCode::ACCEPTED, &body)?.at(format!("/v1/batches/{}", new.id)))
}

/// Keeps the batch itself. One without a new job is over at once, and so what is to follow it follows now.
async fn keep(app: &Shared, tx: &OrgTx, new: &New, total: usize) -> Result<(), ApiError> {
    let follower = match &new.on_complete {
        Some(follow_up) if total == 0 => {
            let request_id = Some(new.request_id.0.clone());
            let job = NewJob { request_id, ..follow_up.clone().job().about(&new.id) };
            Some(app.engine.submit(tx, job).await?)
        }
        _ => None,
    };
    let described = new.on_complete.as_ref().map(serde_json::to_value).transpose();
    let described = described.map_err(|error| ApiError::Internal(error.to_string()))?;
    let total = i32::try_from(total).unwrap_or(i32::MAX);
    Ok(batches::create(tx, new.id, total, described, follower).await?)
}

/// Why a job was refused, with the jobs of the batch called as the caller calls them.
fn named(error: SubmitError, names: &HashMap<JobId, String>) -> ApiError {
    let SubmitError::After(problem) = &error else { return error.into() };
    let name = |id: &JobId| names.get(id).map_or_else(|| id.to_string(), |name| format!("\"{name}\""));
    match problem {
        AfterProblem::Refused(id) => ApiError::After(sorted::refused(&name(id))),
        AfterProblem::Unique(id) => ApiError::After(format!(
            "{}, which it is to follow, has a unique key; hand it in first and follow the job that stands for it",
            name(id)
        )),
        _ => error.into(),
    }
}
