//! `/v1/embedding-spaces`: which model's vectors search by meaning compares, and the way from one model to another.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use gristmill_core::ids::{JobId, SpaceId};
use gristmill_engine::NewJob;
use gristmill_store::{
    OrgTx, jobs,
    spaces::{self, Kind, Space},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{
    documents::create::ours,
    jobs::{JobBody, location},
};
use crate::{
    app::Shared,
    auth::{Admin, Caller, Read},
    body::JsonBody,
    etag::tagged,
    idempotency::{Answer, Content, Done, Repeat, once},
    observe::RequestId,
    openapi::{IdempotencyHeader, PreferHeader},
    params::{self, Id, List, Query},
    problem::ApiError,
    wait::{Prefer, Stopping},
};

/// The kind of job that builds spaces.
const BUILD: &str = "embeddings.build";

/// An embedding space: the vectors of an organization's passages by one model.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpaceBody {
    /// Its id.
    #[schema(value_type = String, example = "spc_01kahpz9vefv5r5j3s9x2e6d7k")]
    pub id: SpaceId,
    /// The model that makes its vectors.
    #[schema(example = "local/hashed-ngrams-512")]
    pub model: String,
    /// How long they are.
    pub dimensions: i32,
    /// The version of the chunker that cut the passages.
    pub chunker: i32,
    /// `building`, `ready` or `failed`.
    #[schema(example = "ready")]
    pub status: String,
    /// True for the one that search uses.
    pub current: bool,
    /// Whether it has an index; a small one is compared vector by vector, which is faster and exact.
    pub indexed: bool,
    /// The job that builds it or built it last.
    #[schema(value_type = Option<String>)]
    pub job_id: Option<JobId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was first complete.
    pub ready_at: Option<DateTime<Utc>>,
}

impl From<Space> for SpaceBody {
    fn from(space: Space) -> Self {
        Self {
            id: space.id,
            model: space.model,
            dimensions: space.dimensions,
            chunker: space.chunker,
            status: space.status,
            current: space.current,
            indexed: space.indexed_at.is_some(),
            job_id: space.job_id,
            created_at: space.created_at,
            ready_at: space.ready_at,
        }
    }
}

/// A space and the job that builds it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpaceAndJob {
    /// The space.
    pub space: SpaceBody,
    /// The job; null where it was pruned since.
    pub job: Option<JobBody>,
}

/// A space to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpaceRequest {
    /// The model, one of those that are configured. If not given, the one that serves where nothing else is said.
    model: Option<String>,
}

/// Search by another embedding model: its space is built in the background from the stored passages, while search uses
/// the one before; then it takes that one's place. Needs the scope admin.
#[utoipa::path(post, path = "/v1/embedding-spaces", tag = "Search", request_body = SpaceRequest,
    params(IdempotencyHeader, PreferHeader),
    responses((status = 202, description = "Accepted; the job builds it", body = SpaceAndJob,
                  headers(("location", description = "Where the job is found"))),
              (status = 200, description = "The job ended within the time given by `Prefer: wait`", body = SpaceAndJob)))]
pub(crate) async fn create(
    caller: Caller<Admin>,
    State(app): State<Shared>,
    repeat: Repeat,
    prefer: Prefer,
    stop: Stopping,
    request_id: RequestId,
    body: JsonBody<SpaceRequest>,
) -> Result<Response, ApiError> {
    let kind = kind(&app, body.value.model.as_deref())?;
    let id = JobId::generate();
    let tx = app.engine.db().org(caller.org).await?;
    let mut made = None;
    let done = once(&tx, caller.org, &repeat, repeat.json(&body.bytes), async {
        let space = spaces::create(&tx, &kind, id).await?;
        made = Some(space);
        submit(&app, &tx, &caller, space, id, request_id).await
    })
    .await?;
    tx.commit().await?;
    accepted(&app, &caller, &stop, prefer, made.map(|space| (space, id)), done).await
}

/// Let search use a space: the one before, say, if the new one is not what was hoped for. What was ingested meanwhile is
/// embedded first. Needs the scope admin.
#[utoipa::path(post, path = "/v1/embedding-spaces/{id}:activate", tag = "Search",
    params(("id" = String, Path, description = "The space's id"), IdempotencyHeader, PreferHeader),
    responses((status = 202, description = "Accepted; the job brings it up to date and lets search use it",
                  body = SpaceAndJob, headers(("location", description = "Where the job is found"))),
              (status = 200, description = "The job ended within the time given by `Prefer: wait`", body = SpaceAndJob),
              (status = 409, description = "`space-in-use`: search uses it, or a job is at it")))]
pub(crate) async fn activate(
    caller: Caller<Admin>,
    State(app): State<Shared>,
    Id(space): Id<SpaceId>,
    repeat: Repeat,
    prefer: Prefer,
    stop: Stopping,
    request_id: RequestId,
) -> Result<Response, ApiError> {
    let id = JobId::generate();
    let tx = app.engine.db().org(caller.org).await?;
    let mut made = None;
    let done = once(&tx, caller.org, &repeat, Content::default(), async {
        let found = spaces::hold(&tx, space).await?.ok_or(ApiError::NotFound("embedding space"))?;
        app.embedders.get(&found.model).ok_or_else(|| ApiError::ModelNotConfigured(found.model.clone()))?;
        idle(&tx, &found).await?;
        spaces::assign(&tx, space, id).await?;
        made = Some(space);
        submit(&app, &tx, &caller, space, id, request_id).await
    })
    .await?;
    tx.commit().await?;
    accepted(&app, &caller, &stop, prefer, made.map(|space| (space, id)), done).await
}

/// The kind of space that `model` makes.
fn kind(app: &Shared, model: Option<&str>) -> Result<Kind, ApiError> {
    let embedder = match model {
        None => app.embedders.serving(),
        Some(name) => app.embedders.get(name).ok_or_else(|| {
            let names: Vec<&str> = app.embedders.names().collect();
            ApiError::field("/model", format!("is one of those that are configured: {}", names.join(", ")))
        })?,
    };
    let whole =
        |number: Result<i32, _>| number.map_err(|_| ApiError::Internal("a model has no such length".to_owned()));
    Ok(Kind {
        model: embedder.model().to_owned(),
        dimensions: whole(i32::try_from(embedder.dimensions()))?,
        chunker: whole(i32::try_from(gristmill_content::CHUNKER_VERSION))?,
    })
}

/// Refuses where search uses the space or a job is at it.
async fn idle(tx: &OrgTx, space: &Space) -> Result<(), ApiError> {
    let busy = match space.job_id {
        Some(job) => jobs::find(tx, job).await?.is_some_and(|job| !job.is_over()),
        None => false,
    };
    if space.current || busy { Err(ApiError::SpaceInUse) } else { Ok(()) }
}

async fn submit(
    app: &Shared,
    tx: &OrgTx,
    caller: &Caller<Admin>,
    space: SpaceId,
    id: JobId,
    request_id: RequestId,
) -> Result<Answer, ApiError> {
    let job = NewJob { id, request_id: Some(request_id.0), ..NewJob::new(BUILD, json!({ "space_id": space })) };
    ours(BUILD, app.engine.submit(tx, job.about(&space)).await)?;
    Ok(Answer::new(StatusCode::ACCEPTED, &both(tx, caller, space).await?)?.at(location(id)))
}

async fn both(tx: &OrgTx, caller: &Caller<Admin>, id: SpaceId) -> Result<SpaceAndJob, ApiError> {
    let space = spaces::find(tx, id).await?.ok_or(ApiError::NotFound("embedding space"))?;
    let job = match space.job_id {
        Some(job) => jobs::find(tx, job).await?.map(|job| JobBody::seen_by(job, caller)),
        None => None,
    };
    Ok(SpaceAndJob { space: space.into(), job })
}

/// Answers that a job is at it; with the space as it is then, where the caller waits and the job ends in time.
async fn accepted(
    app: &Shared,
    caller: &Caller<Admin>,
    stop: &Stopping,
    prefer: Prefer,
    made: Option<(SpaceId, JobId)>,
    done: Done,
) -> Result<Response, ApiError> {
    app.engine.nudge();
    let Some((space, job)) = made else { return Ok(done.into_response()) };
    if prefer.until_over(&app.engine, stop, caller.org, job).await?.is_none() {
        return Ok(prefer.applied(done.into_response()));
    }
    let tx = app.engine.db().org(caller.org).await?;
    let body = both(&tx, caller, space).await?;
    tx.commit().await?;
    Ok(prefer.applied(Answer::new(StatusCode::OK, &body)?.at(location(job)).into_response()))
}

/// Which spaces are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SpacesQuery {
    /// Rows per page, 1 to 200; 50 if not given.
    limit: Option<u64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List embedding spaces, newest first.
#[utoipa::path(get, path = "/v1/embedding-spaces", tag = "Search", params(SpacesQuery),
    responses((status = 200, description = "A page of embedding spaces", body = List<SpaceBody>)))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Query(query): Query<SpacesQuery>,
) -> Result<Json<List<SpaceBody>>, ApiError> {
    let page = params::page(query.limit, query.cursor.as_deref())?;
    let tx = app.engine.db().org(caller.org).await?;
    let rows = spaces::list(&tx, page).await?;
    tx.commit().await?;
    Ok(Json(List::of(page, rows, |space| space.id.uuid())))
}

/// Look at an embedding space.
#[utoipa::path(get, path = "/v1/embedding-spaces/{id}", tag = "Search",
    params(("id" = String, Path, description = "The space's id")),
    responses((status = 200, description = "The space", body = SpaceBody),
              (status = 304, description = "It is as `If-None-Match` knows it")))]
pub(crate) async fn show(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<SpaceId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let space = spaces::find(&tx, id).await?.ok_or(ApiError::NotFound("embedding space"))?;
    tx.commit().await?;
    tagged(&headers, &SpaceBody::from(space))
}

/// Delete an embedding space that search does not use, with its vectors: there is no way back to it then. Needs the scope
/// admin.
#[utoipa::path(delete, path = "/v1/embedding-spaces/{id}", tag = "Search",
    params(("id" = String, Path, description = "The space's id")),
    responses((status = 204, description = "It is gone"),
              (status = 409, description = "`space-in-use`: search uses it, or a job is at it")))]
pub(crate) async fn delete(
    caller: Caller<Admin>,
    State(app): State<Shared>,
    Id(id): Id<SpaceId>,
) -> Result<StatusCode, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let space = spaces::hold(&tx, id).await?.ok_or(ApiError::NotFound("embedding space"))?;
    idle(&tx, &space).await?;
    spaces::remove(&tx, id).await?;
    tx.commit().await?;
    // An index over nothing costs nothing but its name; the next one who deletes a space is not kept by it either.
    if let Err(error) = spaces::drop_index(app.engine.db(), id).await {
        tracing::warn!(%error, space.id = %id, "the index of a deleted embedding space could not be dropped");
    }
    Ok(StatusCode::NO_CONTENT)
}
