//! `/v1/jobs`: handing jobs in and looking at them.

mod filter;
mod request;
mod waiting;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use gristmill_core::ids::{BatchId, JobId};
use gristmill_engine::submit::{SubmitError, Submitted};
use gristmill_store::{
    OrgTx,
    jobs::{self, Job},
    keys::Scope,
};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

pub(crate) use self::request::LONGEST_KEY;
pub use self::{
    filter::{JobFilter, JobsQuery},
    request::{FollowUpRequest, JobRequest, UniqueRequest},
    waiting::WaitingFor,
};

use crate::{
    app::Shared,
    auth::{Caller, Read, Submit},
    body::JsonBody,
    etag::tagged,
    idempotency::{Answer, Done, Repeat, once},
    observe::RequestId,
    openapi::{IdempotencyHeader, PreferHeader},
    params::{self, Id, List, Query},
    problem::ApiError,
    wait::{Prefer, Stopping},
};

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobBody {
    /// Its id.
    #[schema(value_type = String, example = "job_01kahpz9vefv5r5j3s9x2e6d7k")]
    pub id: JobId,
    /// What it does.
    #[schema(example = "document.ingest")]
    pub kind: String,
    /// Where it waits.
    #[schema(example = "ingest")]
    pub queue: String,
    /// `waiting` (for other jobs), `scheduled`, `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    #[schema(example = "queued")]
    pub state: String,
    /// 0 (first) to 9.
    pub priority: i16,
    /// How often it was started.
    pub attempt: i32,
    /// How often it may be started.
    pub max_attempts: i32,
    /// How long one attempt may take, in seconds.
    pub timeout_s: i32,
    /// What its kind is given.
    pub args: Json,
    /// What it returned.
    pub result: Option<Json>,
    /// Why it failed, last: `{code, message, attempt, fingerprint}`; `detail`, the cause, for keys that may operate.
    pub error: Option<Json>,
    /// How far it is: `{done, total, stage}`.
    pub progress: Option<Json>,
    /// Its owner's labels.
    pub tags: Vec<String>,
    /// The id of what it is about.
    pub subject: Option<String>,
    /// The jobs it was handed in with.
    #[schema(value_type = Option<String>)]
    pub batch_id: Option<BatchId>,
    /// Of the jobs with this key only so many run at once.
    pub concurrency_key: Option<String>,
    /// What makes it the only one of its sort.
    pub unique_key: Option<String>,
    /// The jobs that it is or was to follow; told where a single job that follows others is asked for. Those that had
    /// succeeded when it was handed in are not among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub after: Option<Vec<JobId>>,
    /// What it cost, in billionths of a dollar.
    pub cost_nusd: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Before which time it does not start.
    pub run_at: DateTime<Utc>,
    /// When it last started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When somebody asked to cancel it.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// The request that made it.
    pub request_id: Option<String>,
    /// Why it does not run; told where a single job that waits is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
}

impl JobBody {
    /// The job as `caller` may see it: what only helps those who run Gristmill is for those who may operate.
    pub(crate) fn seen_by<N>(job: Job, caller: &Caller<N>) -> Self {
        let error = job.error.map(|error| if caller.may(Scope::Operate) { error } else { without_cause(error) });
        Self {
            id: job.id,
            kind: job.kind,
            queue: job.queue,
            state: job.state,
            priority: job.priority,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            timeout_s: job.timeout_s,
            args: job.args,
            result: job.result,
            error,
            progress: job.progress,
            tags: job.tags,
            subject: job.subject,
            batch_id: job.batch_id,
            concurrency_key: Some(job.concurrency_key).filter(|key| !key.is_empty()),
            unique_key: job.unique_key,
            after: None,
            cost_nusd: job.cost_nusd,
            created_at: job.created_at,
            run_at: job.run_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            cancel_requested_at: job.cancel_requested_at,
            request_id: job.request_id,
            waiting_for: None,
        }
    }
}

/// A job's error without the cause behind it.
pub(crate) fn without_cause(mut error: Json) -> Json {
    if let Some(fields) = error.as_object_mut() {
        fields.remove("detail");
    }
    error
}

/// Where the job is found.
pub(crate) fn location(id: JobId) -> String {
    format!("/v1/jobs/{id}")
}

/// Hand in a job.
#[utoipa::path(post, path = "/v1/jobs", tag = "Jobs", request_body = JobRequest,
    params(IdempotencyHeader, PreferHeader),
    responses((status = 202, description = "Accepted; it will run", body = JobBody,
                  headers(("location", description = "Where the job is found"))),
              (status = 200, description = "It ended within the time given by `Prefer: wait`, or there is one with its \
                  unique key, which stands for it", body = JobBody)))]
pub(crate) async fn submit(
    caller: Caller<Submit>,
    State(app): State<Shared>,
    repeat: Repeat,
    prefer: Prefer,
    stop: Stopping,
    request_id: RequestId,
    body: JsonBody<JobRequest>,
) -> Result<Response, ApiError> {
    let job = body.value.alone(&request_id)?;
    let mut id = job.id;
    let tx = app.engine.db().org(caller.org).await?;
    let done = once(&tx, caller.org, &repeat, repeat.json(&body.bytes), async {
        let submitted = only(app.engine.submit_many(&tx, vec![job]).await?)?;
        id = submitted.id();
        let status = if matches!(submitted, Submitted::New(_)) { StatusCode::ACCEPTED } else { StatusCode::OK };
        let body = JobBody::seen_by(self::submitted(&tx, id).await?, &caller);
        Ok(Answer::new(status, &body)?.at(location(id)))
    })
    .await?;
    tx.commit().await?;
    app.engine.nudge();
    app.engine.announce(&[id]);
    accepted(&app, &caller, &stop, prefer, id, done).await
}

/// What became of the only job that was handed in.
fn only(mut answers: Vec<Result<Submitted, SubmitError>>) -> Result<Submitted, ApiError> {
    let nothing = || ApiError::Internal("nothing became of a job that was handed in".to_owned());
    Ok(answers.pop().ok_or_else(nothing)??)
}

/// The row of a job that `tx` wrote.
pub(crate) async fn submitted(tx: &OrgTx, id: JobId) -> Result<Job, ApiError> {
    jobs::find(tx, id).await?.ok_or_else(|| ApiError::Internal(format!("{id} is gone right after it was written")))
}

/// Answers that a job was accepted; with the job as it ended, where the caller waits and it ends in time.
pub(crate) async fn accepted<N>(
    app: &Shared,
    caller: &Caller<N>,
    stop: &Stopping,
    prefer: Prefer,
    id: JobId,
    done: Done,
) -> Result<Response, ApiError> {
    let Done::New(answer) = done else { return Ok(done.into_response()) };
    let response = match prefer.until_over(&app.engine, stop, caller.org, id).await? {
        Some(job) => Answer::new(StatusCode::OK, &JobBody::seen_by(job, caller))?.at(location(id)).into_response(),
        None => answer.into_response(),
    };
    Ok(prefer.applied(response))
}

/// List jobs, newest first. Arguments and results over 64 kB are null here; ask for the job itself.
#[utoipa::path(get, path = "/v1/jobs", tag = "Jobs", params(JobsQuery),
    responses((status = 200, description = "A page of jobs", body = List<JobBody>)))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Query(query): Query<JobsQuery>,
) -> Result<axum::Json<List<JobBody>>, ApiError> {
    let page = params::page(query.limit, query.cursor.as_deref())?;
    let filter = query.filter()?;
    let tx = app.engine.db().org(caller.org).await?;
    let (rows, next) = page.cut(jobs::list(&tx, &filter, page).await?, |job| job.id.uuid());
    tx.commit().await?;
    let data = rows.into_iter().map(|job| JobBody::seen_by(job, &caller)).collect();
    Ok(axum::Json(List { data, next_cursor: next.map(|cursor| cursor.to_string()) }))
}

/// Look at a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "Jobs", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, description = "The job", body = JobBody,
                  headers(("etag", description = "Changes with the job"))),
              (status = 304, description = "It is as `If-None-Match` knows it")))]
pub(crate) async fn show(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<JobId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let job = jobs::find(&tx, id).await?.ok_or(ApiError::NotFound("job"))?;
    let after = Some(jobs::follows(&tx, id).await?).filter(|jobs| !jobs.is_empty());
    let look = waiting::look(&tx, &job).await?;
    tx.commit().await?;
    let waiting_for = waiting::tell(&app.engine, &job, look).await?;
    tagged(&headers, &JobBody { waiting_for, after, ..JobBody::seen_by(job, &caller) })
}

#[cfg(test)]
mod tests {
    use super::without_cause;
    use serde_json::json;

    #[test]
    fn the_cause_of_an_error_can_be_left_out() {
        assert_eq!(without_cause(json!({ "code": "x", "detail": "secret" })), json!({ "code": "x" }));
    }
}
