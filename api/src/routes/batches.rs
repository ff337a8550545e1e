//! `/v1/batches`: jobs that were handed in together, counted as they end.

use axum::{Json, extract::State, http::HeaderMap, response::Response};
use chrono::{DateTime, Utc};
use gristmill_core::ids::{BatchId, JobId};
use gristmill_store::batches::{self, Batch};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Shared,
    auth::{Caller, Read},
    etag::tagged,
    params::{self, Id, List, Query},
    problem::ApiError,
};

/// Jobs that were handed in together.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchBody {
    /// Its id.
    #[schema(value_type = String, example = "bat_01kahpz9vefv5r5j3s9x2e6d7k")]
    pub id: BatchId,
    /// How many new jobs it has.
    pub total: i32,
    /// How many of them are not over.
    pub pending: i32,
    /// How many succeeded.
    pub succeeded: i32,
    /// How many failed.
    pub failed: i32,
    /// How many were cancelled.
    pub cancelled: i32,
    /// When it was handed in.
    pub created_at: DateTime<Utc>,
    /// When the last of its jobs ended, for the first time.
    pub finished_at: Option<DateTime<Utc>>,
    /// The job that was handed in then, if one was wished for.
    #[schema(value_type = Option<String>)]
    pub on_complete_job: Option<JobId>,
}

impl From<Batch> for BatchBody {
    fn from(batch: Batch) -> Self {
        let Batch { id, total, succeeded, failed, cancelled, on_complete_job, created_at, finished_at, .. } = batch;
        let pending = total - succeeded - failed - cancelled;
        Self { id, total, pending, succeeded, failed, cancelled, created_at, finished_at, on_complete_job }
    }
}

/// Which batches are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BatchesQuery {
    /// Rows per page, 1 to 200; 50 if not given.
    limit: Option<u64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List batches, newest first. The jobs of one are found by `GET /v1/jobs?batch_id=`.
#[utoipa::path(get, path = "/v1/batches", tag = "Jobs", params(BatchesQuery),
    responses((status = 200, description = "A page of batches", body = List<BatchBody>)))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Query(query): Query<BatchesQuery>,
) -> Result<Json<List<BatchBody>>, ApiError> {
    let page = params::page(query.limit, query.cursor.as_deref())?;
    let tx = app.engine.db().org(caller.org).await?;
    let rows = batches::list(&tx, page).await?;
    tx.commit().await?;
    Ok(Json(List::of(page, rows, |batch| batch.id.uuid())))
}

/// Look at a batch. It is counted in the second after its jobs end.
#[utoipa::path(get, path = "/v1/batches/{id}", tag = "Jobs",
    params(("id" = String, Path, description = "The batch's id")),
    responses((status = 200, description = "The batch", body = BatchBody,
                  headers(("etag", description = "Changes with the batch"))),
              (status = 304, description = "It is as `If-None-Match` knows it")))]
pub(crate) async fn show(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<BatchId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let batch = batches::find(&tx, id).await?.ok_or(ApiError::NotFound("batch"))?;
    tx.commit().await?;
    tagged(&headers, &BatchBody::from(batch))
}
