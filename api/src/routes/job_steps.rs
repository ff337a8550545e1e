//! `/v1/jobs/{id}/steps`: what a job did once and need not do again.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use gristmill_core::ids::JobId;
use gristmill_store::{
    job_steps::{self, Step},
    jobs,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Shared,
    auth::{Caller, Read},
    params::{self, Id, List, Query},
    problem::ApiError,
};

/// A step that a job did.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepBody {
    /// Its name, which no other step of the job has.
    #[schema(example = "embed:180")]
    pub name: String,
    /// In which attempt it was done.
    pub attempt: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was kept.
    pub finished_at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// What it returned, which a later attempt gets instead of doing it again; null where that is over 64 kB.
    pub output: Option<Value>,
}

impl From<Step> for StepBody {
    fn from(Step { name, attempt, started_at, finished_at, output }: Step) -> Self {
        let took_ms = (finished_at - started_at).num_milliseconds();
        Self { name, attempt, started_at, finished_at, took_ms, output }
    }
}

/// Which steps are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StepsQuery {
    /// Rows per page, 1 to 200; 50 if not given.
    limit: Option<u64>,
    /// The `next_cursor` of the page before.
    cursor: Option<u32>,
}

/// List the steps of a job that were kept, in their order.
#[utoipa::path(get, path = "/v1/jobs/{id}/steps", tag = "Jobs",
    params(("id" = String, Path, description = "The job's id"), StepsQuery),
    responses((status = 200, description = "A page of steps", body = List<StepBody>)))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<JobId>,
    Query(query): Query<StepsQuery>,
) -> Result<Json<List<StepBody>>, ApiError> {
    let limit = i64::try_from(params::limit_of(query.limit)?).unwrap_or(i64::MAX);
    // Steps are only ever added at the end: what was seen stays where it was.
    let skip = i64::from(query.cursor.unwrap_or(0));
    let tx = app.engine.db().org(caller.org).await?;
    jobs::find(&tx, id).await?.ok_or(ApiError::NotFound("job"))?;
    let mut steps = job_steps::list(&tx, id, skip, limit + 1).await?;
    tx.commit().await?;
    let more = i64::try_from(steps.len()).is_ok_and(|steps| steps > limit);
    steps.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = more.then(|| (skip + limit).to_string());
    Ok(Json(List { data: steps.into_iter().map(StepBody::from).collect(), next_cursor }))
}
