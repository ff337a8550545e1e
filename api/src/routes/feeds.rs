//! `/v1/feeds`: feeds that are polled for articles.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use gristmill_core::ids::{FeedId, JobId};
use gristmill_engine::NewJob;
use gristmill_store::{
    OrgTx,
    feeds::{self, Feed},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{
    documents::create::ours,
    jobs::{JobBody, accepted, location, submitted, without_cause},
};
use crate::{
    app::Shared,
    auth::{Caller, Operate, Read, Submit},
    body::JsonBody,
    etag::tagged,
    idempotency::{Answer, Content, Repeat, once},
    observe::RequestId,
    openapi::{IdempotencyHeader, PreferHeader},
    params::{self, Id, List, Query, absolute},
    problem::ApiError,
    wait::{Prefer, Stopping},
};

/// The kind of job that polls feeds.
const POLL: &str = "feed.poll";

/// A feed.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedBody {
    /// Its id.
    #[schema(value_type = String, example = "feed_01kahpz9vefv5r5j3s9x2e6d7k")]
    pub id: FeedId,
    /// Where it is.
    pub url: String,
    /// What it calls itself.
    pub title: Option<String>,
    /// The site it belongs to.
    pub site_url: Option<String>,
    /// Seconds between polls.
    pub poll_interval_s: i32,
    /// When it is polled next.
    pub next_poll_at: DateTime<Utc>,
    /// When it was polled last.
    pub polled_at: Option<DateTime<Utc>>,
    /// What went wrong at the last poll: `{code, message}`.
    pub error: Option<Value>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

impl From<Feed> for FeedBody {
    fn from(feed: Feed) -> Self {
        Self {
            id: feed.id,
            url: feed.url,
            title: feed.title,
            site_url: feed.site_url,
            poll_interval_s: feed.poll_interval_s,
            next_poll_at: feed.next_poll_at,
            polled_at: feed.polled_at,
            error: feed.error.map(without_cause),
            created_at: feed.created_at,
        }
    }
}

/// A feed to be polled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedRequest {
    /// An absolute `http` or `https` URL of a feed, or of a page that links one.
    #[schema(example = "https://example.org/feed.xml")]
    url: String,
}

/// Add a feed. It is polled at once; `GET /v1/jobs?subject=<feed id>` finds the job.
#[utoipa::path(post, path = "/v1/feeds", tag = "Feeds", request_body = FeedRequest, params(IdempotencyHeader),
    responses((status = 201, description = "It was added", body = FeedBody,
                  headers(("location", description = "Where the feed is found"))),
              (status = 200, description = "It had been added before", body = FeedBody),
              (status = 422, description = "`invalid-url` or `address-not-allowed`")))]
pub(crate) async fn create(
    caller: Caller<Submit>,
    State(app): State<Shared>,
    repeat: Repeat,
    request_id: RequestId,
    body: JsonBody<FeedRequest>,
) -> Result<Response, ApiError> {
    let mut url = absolute(&body.value.url)?;
    app.fetcher.check_url(&url)?;
    // What names a place inside a document names the same feed.
    url.set_fragment(None);
    let tx = app.engine.db().org(caller.org).await?;
    let done = once(&tx, caller.org, &repeat, repeat.json(&body.bytes), async {
        let (status, feed) = match feeds::create(&tx, url.as_str()).await? {
            Some(feed) => {
                submit_poll(&app, &tx, feed.id, request_id).await?;
                (StatusCode::CREATED, feed)
            }
            None => (StatusCode::OK, feeds::by_url(&tx, url.as_str()).await?.ok_or(ApiError::NotFound("feed"))?),
        };
        let location = format!("/v1/feeds/{}", feed.id);
        Ok(Answer::new(status, &FeedBody::from(feed))?.at(location))
    })
    .await?;
    tx.commit().await?;
    app.engine.nudge();
    Ok(done.into_response())
}

async fn submit_poll(app: &Shared, tx: &OrgTx, feed: FeedId, request_id: RequestId) -> Result<JobId, ApiError> {
    let job = NewJob { request_id: Some(request_id.0), ..NewJob::new(POLL, json!({ "feed_id": feed })) };
    ours(POLL, app.engine.submit(tx, job.about(&feed)).await)
}

/// Which feeds are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedsQuery {
    /// Rows per page, 1 to 200; 50 if not given.
    limit: Option<u64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List feeds, newest first.
#[utoipa::path(get, path = "/v1/feeds", tag = "Feeds", params(FeedsQuery),
    responses((status = 200, description = "A page of feeds", body = List<FeedBody>)))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Query(query): Query<FeedsQuery>,
) -> Result<Json<List<FeedBody>>, ApiError> {
    let page = params::page(query.limit, query.cursor.as_deref())?;
    let tx = app.engine.db().org(caller.org).await?;
    let rows = feeds::list(&tx, page).await?;
    tx.commit().await?;
    Ok(Json(List::of(page, rows, |feed| feed.id.uuid())))
}

/// Look at a feed.
#[utoipa::path(get, path = "/v1/feeds/{id}", tag = "Feeds",
    params(("id" = String, Path, description = "The feed's id")),
    responses((status = 200, description = "The feed", body = FeedBody),
              (status = 304, description = "It is as `If-None-Match` knows it")))]
pub(crate) async fn show(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<FeedId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let feed = feeds::find(&tx, id).await?.ok_or(ApiError::NotFound("feed"))?;
    tx.commit().await?;
    tagged(&headers, &FeedBody::from(feed))
}

/// Stop polling a feed; its articles stay.
#[utoipa::path(delete, path = "/v1/feeds/{id}", tag = "Feeds",
    params(("id" = String, Path, description = "The feed's id")),
    responses((status = 204, description = "It is polled no more")))]
pub(crate) async fn delete(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Id(id): Id<FeedId>,
) -> Result<StatusCode, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    if !feeds::delete(&tx, id).await? {
        return Err(ApiError::NotFound("feed"));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Poll a feed now.
#[utoipa::path(post, path = "/v1/feeds/{id}:poll", tag = "Feeds",
    params(("id" = String, Path, description = "The feed's id"), IdempotencyHeader, PreferHeader),
    responses((status = 202, description = "It will be polled by this job", body = JobBody,
                  headers(("location", description = "Where the job is found"))),
              (status = 200, description = "The job ended within the time given by `Prefer: wait`", body = JobBody)))]
pub(crate) async fn poll(
    caller: Caller<Submit>,
    State(app): State<Shared>,
    Id(id): Id<FeedId>,
    repeat: Repeat,
    prefer: Prefer,
    stop: Stopping,
    request_id: RequestId,
) -> Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    feeds::find(&tx, id).await?.ok_or(ApiError::NotFound("feed"))?;
    let mut job = None;
    let done = once(&tx, caller.org, &repeat, Content::default(), async {
        let id = submit_poll(&app, &tx, id, request_id).await?;
        job = Some(id);
        Ok(Answer::new(StatusCode::ACCEPTED, &JobBody::seen_by(submitted(&tx, id).await?, &caller))?.at(location(id)))
    })
    .await?;
    tx.commit().await?;
    app.engine.nudge();
    match job {
        Some(job) => accepted(&app, &caller, &stop, prefer, job, done).await,
        None => Ok(done.into_response()),
    }
}
