//! `/v1/limits`: how much of what may run at once and per minute, and pausing what is limited.
//!
//! An organization limits its own queues, kinds and concurrency keys. How much an organization may do as a whole, and
//! what holds for everybody together, is for administrators of the installation.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use chrono::{DateTime, Utc};
use gristmill_core::ids::OrgId;
use gristmill_engine::{
    Queue,
    flow::{EVERYBODY, Scope, Subject},
    limits::{self, Row, Setting},
};
use gristmill_store::{OrgTx, orgs};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Shared,
    auth::{Caller, Operate, Read},
    body::{JsonBody, MaybeJson},
    params::{self, List, Query},
    problem::ApiError,
    routes::{jobs::LONGEST_KEY, queues::ends},
};

/// The most limits of an organization: every dispatcher reads them all the time.
const MOST: usize = 1_000;

/// A limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitBody {
    /// `queue`, `kind`, `key` or `org`.
    #[schema(example = "kind")]
    pub scope: String,
    /// The queue, kind or concurrency key, or the organization's id.
    #[schema(example = "document.ingest")]
    pub name: String,
    /// True where it holds for everybody together.
    pub everyone: bool,
    /// Jobs that run, or are on their way to a worker, at once.
    pub max_running: Option<i32>,
    /// Units that may start per minute.
    pub per_minute: Option<i32>,
    /// An organization's share beside others.
    pub weight: Option<i32>,
    /// True where nothing starts now.
    pub paused: bool,
    /// Until when, if not until somebody resumes it.
    pub paused_until: Option<DateTime<Utc>>,
}

impl From<Row> for LimitBody {
    fn from(row: Row) -> Self {
        let everyone = row.org_id == EVERYBODY;
        let whole = row.scope == Scope::Org.name() && !everyone;
        Self {
            name: if whole { OrgId::from(row.org_id).to_string() } else { row.name },
            scope: row.scope,
            everyone,
            max_running: row.max_running,
            per_minute: row.per_minute,
            weight: row.weight,
            paused: row.paused,
            paused_until: row.paused_until.filter(|_| row.paused),
        }
    }
}

/// What is to be limited how; what is not given is not limited.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRequest {
    /// Jobs that run, or are on their way to a worker, at once; 0 to 1,000,000.
    #[schema(minimum = 0, maximum = 1_000_000)]
    max_running: Option<i32>,
    /// Units that may start per minute, 1 to 10,000,000; a job has one unless it says otherwise.
    #[schema(minimum = 1, maximum = 10_000_000)]
    per_minute: Option<i32>,
    /// An organization's share beside others, 1 to 1,000; 1 if not given.
    #[schema(minimum = 1, maximum = 1_000)]
    weight: Option<i32>,
}

/// Whose limit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LimitQuery {
    /// Everybody's together, of a queue or a kind; needs an administrator of the installation.
    #[serde(default)]
    everyone: bool,
}

/// How something is to be paused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitPause {
    /// Until when, if not until somebody resumes it.
    until: Option<DateTime<Utc>>,
}

/// List the organization's limits and pauses, and those that hold for everybody.
#[utoipa::path(get, path = "/v1/limits", tag = "Flow",
    responses((status = 200, description = "All of them, on one page", body = List<LimitBody>)))]
pub(crate) async fn list(caller: Caller<Read>, State(app): State<Shared>) -> Result<Json<List<LimitBody>>, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let rows = limits::list(&tx, caller.org).await?;
    tx.commit().await?;
    Ok(Json(List { data: rows.into_iter().map(LimitBody::from).collect(), next_cursor: None }))
}

/// Set a limit. `scope` is `queue`, `kind` or `key`, which needs the scope operate; or `org`, which needs an administrator
/// of the installation. A pause stays as it is.
#[utoipa::path(put, path = "/v1/limits/{scope}/{name}", tag = "Flow", request_body = LimitRequest,
    params(("scope" = String, Path, description = "`queue`, `kind`, `key` or `org`"),
           ("name" = String, Path, description = "The queue, kind or concurrency key, or the organization's id"),
           LimitQuery),
    responses((status = 200, description = "It holds from now on", body = LimitBody),
              (status = 409, description = "`too-many-limits`: there are 1,000 already")))]
pub(crate) async fn set(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Path((scope, name)): Path<(String, String)>,
    Query(query): Query<LimitQuery>,
    body: JsonBody<LimitRequest>,
) -> Result<Json<LimitBody>, ApiError> {
    let (tx, subject) = subject(&app, &caller, &scope, name, query.everyone).await?;
    let setting = setting(&body.value, subject.scope)?;
    if find(&tx, &subject).await?.is_none() {
        room(&tx, &subject).await?;
    }
    limits::set(&tx, &subject, setting).await?;
    answered(&app, tx, &subject).await
}

/// Remove a limit, and its pause with it.
#[utoipa::path(delete, path = "/v1/limits/{scope}/{name}", tag = "Flow",
    params(("scope" = String, Path, description = "`queue`, `kind`, `key` or `org`"),
           ("name" = String, Path, description = "The queue, kind or concurrency key, or the organization's id"),
           LimitQuery),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn remove(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Path((scope, name)): Path<(String, String)>,
    Query(query): Query<LimitQuery>,
) -> Result<StatusCode, ApiError> {
    let (tx, subject) = subject(&app, &caller, &scope, name, query.everyone).await?;
    if !limits::remove(&tx, &subject).await? {
        return Err(ApiError::NotFound("limit"));
    }
    tx.commit().await?;
    app.engine.nudge();
    Ok(StatusCode::NO_CONTENT)
}

/// Pause what has this name: nothing more of it starts. What runs goes on, and what is on its way to a worker already may
/// still start.
#[utoipa::path(post, path = "/v1/limits/{scope}/{name}:pause", tag = "Flow", request_body = LimitPause,
    params(("scope" = String, Path, description = "`queue`, `kind`, `key` or `org`"),
           ("name" = String, Path, description = "The queue, kind or concurrency key, or the organization's id"),
           LimitQuery),
    responses((status = 200, description = "It is paused", body = LimitBody),
              (status = 409, description = "`too-many-limits`: there are 1,000 already")))]
pub(crate) async fn pause(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Path((scope, name)): Path<(String, String)>,
    Query(query): Query<LimitQuery>,
    MaybeJson(body): MaybeJson<LimitPause>,
) -> Result<Json<LimitBody>, ApiError> {
    let until = ends(body.until)?;
    let (tx, subject) = subject(&app, &caller, &scope, name, query.everyone).await?;
    if find(&tx, &subject).await?.is_none() {
        room(&tx, &subject).await?;
    }
    limits::pause(&tx, &subject, until).await?;
    answered(&app, tx, &subject).await
}

/// End a pause.
#[utoipa::path(post, path = "/v1/limits/{scope}/{name}:resume", tag = "Flow",
    params(("scope" = String, Path, description = "`queue`, `kind`, `key` or `org`"),
           ("name" = String, Path, description = "The queue, kind or concurrency key, or the organization's id"),
           LimitQuery),
    responses((status = 200, description = "It goes on", body = LimitBody)))]
pub(crate) async fn resume(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Path((scope, name)): Path<(String, String)>,
    Query(query): Query<LimitQuery>,
) -> Result<Json<LimitBody>, ApiError> {
    let (tx, subject) = subject(&app, &caller, &scope, name, query.everyone).await?;
    limits::resume(&tx, &subject).await?;
    answered(&app, tx, &subject).await
}

/// What is meant, and a transaction of whose it is.
async fn subject(
    app: &Shared,
    caller: &Caller<Operate>,
    scope: &str,
    name: String,
    everyone: bool,
) -> Result<(OrgTx, Subject), ApiError> {
    let scope: Scope = scope.parse().map_err(|_| ApiError::NotFound("limit"))?;
    if everyone && matches!(scope, Scope::Org | Scope::Key) {
        return Err(ApiError::field("everyone", "is for queues and kinds"));
    }
    if name.contains('\0') {
        return Err(ApiError::NotFound("limit"));
    }
    if everyone || scope == Scope::Org {
        caller.need_installation(app).await?;
    }
    let org = match scope {
        Scope::Org => name.parse::<OrgId>().map_err(|_| ApiError::NotFound("organization"))?,
        _ if everyone => OrgId::from(EVERYBODY),
        _ => caller.org,
    };
    let tx = app.engine.db().org(org).await?;
    match scope {
        Scope::Org => drop(orgs::own(&tx).await?.ok_or(ApiError::NotFound("organization"))?),
        Scope::Queue => drop(name.parse::<Queue>().map_err(|_| ApiError::NotFound("queue"))?),
        Scope::Kind => drop(app.engine.kinds().find(&tx, &name).await?.ok_or(ApiError::NotFound("kind of job"))?),
        Scope::Key => params::length("name", Some(&name), LONGEST_KEY)?,
    }
    let name = if scope == Scope::Org { String::new() } else { name };
    Ok((tx, Subject { org: org.uuid(), scope, name }))
}

fn setting(request: &LimitRequest, scope: Scope) -> Result<Setting, ApiError> {
    let LimitRequest { max_running, per_minute, weight } = *request;
    let within =
        |fits: bool, pointer: &str, detail: &str| if fits { Ok(()) } else { Err(ApiError::field(pointer, detail)) };
    within(max_running.is_none_or(|most| (0..=1_000_000).contains(&most)), "/max_running", "is 0 to 1000000")?;
    within(per_minute.is_none_or(|most| (1..=10_000_000).contains(&most)), "/per_minute", "is 1 to 10000000")?;
    within(weight.is_none_or(|weight| (1..=1_000).contains(&weight)), "/weight", "is 1 to 1000")?;
    within(weight.is_none() || scope == Scope::Org, "/weight", "is for organizations")?;
    Ok(Setting { weight, max_running, per_minute })
}

async fn find(tx: &OrgTx, subject: &Subject) -> Result<Option<Row>, ApiError> {
    let rows = limits::list(tx, tx.org()).await?;
    let is = |row: &Row| row.org_id == subject.org && row.scope == subject.scope.name() && row.name == subject.name;
    Ok(rows.into_iter().find(is))
}

/// Refuses where there is no room for another limit. Two at once may both find room for the last: that is no harm.
async fn room(tx: &OrgTx, subject: &Subject) -> Result<(), ApiError> {
    let limits = limits::list(tx, tx.org()).await?.iter().filter(|row| row.org_id == subject.org).count();
    if limits < MOST { Ok(()) } else { Err(ApiError::TooManyLimits(limits)) }
}

/// Commits, and shows what holds now.
async fn answered(app: &Shared, tx: OrgTx, subject: &Subject) -> Result<Json<LimitBody>, ApiError> {
    let row = find(&tx, subject).await?.ok_or(ApiError::NotFound("limit"))?;
    tx.commit().await?;
    app.engine.nudge();
    Ok(Json(row.into()))
}
