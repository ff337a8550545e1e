//! `/v1/kinds`: the kinds of job that exist.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::Shared,
    auth::{Anyone, Caller},
    params::List,
    problem::ApiError,
};

/// A kind of job.
#[derive(Debug, Serialize, ToSchema)]
pub struct KindBody {
    /// Its name.
    #[schema(example = "document.ingest")]
    pub kind: String,
    /// What it does, in a sentence.
    pub about: String,
    /// Where its jobs wait.
    #[schema(example = "ingest")]
    pub queue: String,
    /// How often one may be started.
    pub max_attempts: i32,
    /// How long one attempt may take, in seconds.
    pub timeout_s: i32,
    /// The JSON Schema of its arguments.
    pub args_schema: serde_json::Value,
}

/// List the kinds of job that exist, by name.
#[utoipa::path(get, path = "/v1/kinds", tag = "Jobs",
    responses((status = 200, description = "All of them, on one page", body = List<KindBody>)))]
pub(crate) async fn list(caller: Caller<Anyone>, State(app): State<Shared>) -> Result<Json<List<KindBody>>, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let kinds = app.engine.kinds().all(&tx).await?;
    tx.commit().await?;
    let body = |kind: &gristmill_engine::kinds::KindInfo| KindBody {
        kind: kind.kind.clone(),
        about: kind.about.clone(),
        queue: kind.queue.name().to_owned(),
        max_attempts: kind.max_attempts,
        timeout_s: kind.timeout_s,
        args_schema: kind.args_schema.clone(),
    };
    Ok(Json(List { data: kinds.iter().map(|kind| body(&kind.info)).collect(), next_cursor: None }))
}
