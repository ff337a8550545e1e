//! `/v1/queues`: how much waits, how fast it comes and goes, and stopping and starting the queues.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Path, State},
};
use chrono::{DateTime, Utc};
use gristmill_core::{clock, ids::OrgId};
use gristmill_engine::{
    Queue,
    flow::{EVERYBODY, Scope, Subject},
    limits,
};
use gristmill_store::{
    db::Tx,
    queues::{self, Ahead, Depth, Hands, Pace},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Shared,
    auth::{Caller, Operate, Read},
    body::MaybeJson,
    params::{self, List, Query},
    problem::ApiError,
};

/// A queue, as the organization sees it or as a whole.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueBody {
    /// Its name.
    #[schema(example = "ingest")]
    pub name: String,
    /// Jobs that may run, counted up to 100,000.
    pub queued: i64,
    /// True where there are more.
    pub queued_at_least: bool,
    /// Jobs whose time has not come.
    pub scheduled: i64,
    /// Jobs that wait for other jobs.
    pub waiting: i64,
    /// Jobs that run.
    pub running: i64,
    /// Jobs that failed for good within the last hour.
    pub failed_last_hour: i64,
    /// How long the oldest that may run may run already, in seconds; null where none waits.
    pub oldest_age_s: Option<f64>,
    /// Jobs handed in per minute, over the last five minutes.
    pub in_per_minute: f64,
    /// Jobs that ended per minute, over the last five minutes.
    pub out_per_minute: f64,
    /// How long until nothing waits, at this pace, in seconds; null where it does not get less.
    pub eta_s: Option<f64>,
    /// True where nothing starts now.
    pub paused: bool,
    /// Until when, if not until somebody resumes it.
    pub paused_until: Option<DateTime<Utc>>,
    /// True where it is paused for everybody, which only an administrator of the installation can end.
    pub paused_for_everyone: bool,
    /// Living workers with slots for it.
    pub workers: i64,
    /// Their slots.
    pub slots: i64,
}

/// Whose numbers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QueuesQuery {
    /// Everybody's together, for administrators of the installation; the organization's own if not given.
    #[serde(default)]
    everyone: bool,
}

/// List the queues with what waits in them and how fast it goes. Rates and failures are up to ten seconds old.
#[utoipa::path(get, path = "/v1/queues", tag = "Flow", params(QueuesQuery),
    responses((status = 200, description = "All of them, on one page", body = List<QueueBody>)))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Query(query): Query<QueuesQuery>,
) -> Result<Json<List<QueueBody>>, ApiError> {
    let look = if query.everyone {
        caller.need_installation(&app).await?;
        let tx = app.engine.db().system().await?;
        let look = Look::at(&tx, None).await?;
        tx.commit().await?;
        look
    } else {
        let tx = app.engine.db().org(caller.org).await?;
        let look = Look::at(&tx, Some(caller.org)).await?;
        tx.commit().await?;
        look
    };
    Ok(Json(List { data: Queue::ALL.iter().map(|queue| look.body(queue.name())).collect(), next_cursor: None }))
}

/// Everything that is known of the queues, by name.
struct Look {
    depths: HashMap<String, Depth>,
    ahead: HashMap<String, Ahead>,
    paces: HashMap<String, Pace>,
    hands: HashMap<String, Hands>,
    pauses: Vec<limits::Row>,
}

impl Look {
    async fn at(tx: &impl Tx, org: Option<OrgId>) -> Result<Self, ApiError> {
        let depths = queues::depths(tx, org, &Queue::ALL.map(Queue::name)).await?;
        let ahead = queues::ahead(tx, org).await?;
        let paces = queues::paces(tx, org).await?;
        let hands = queues::hands(tx).await?;
        let limits = limits::list(tx, org.unwrap_or(OrgId::from(EVERYBODY))).await?;
        let pauses = limits.into_iter().filter(|limit| limit.scope == Scope::Queue.name() && limit.paused);
        Ok(Self {
            depths: depths.into_iter().map(|of| (of.queue.clone(), of)).collect(),
            ahead: ahead.into_iter().map(|of| (of.queue.clone(), of)).collect(),
            paces: paces.into_iter().map(|of| (of.queue.clone(), of)).collect(),
            hands: hands.into_iter().map(|of| (of.queue.clone(), of)).collect(),
            pauses: pauses.collect(),
        })
    }

    fn body(&self, name: &str) -> QueueBody {
        let (depth, ahead) = (self.depths.get(name), self.ahead.get(name));
        let (pace, hands) = (self.paces.get(name), self.hands.get(name));
        let queued = depth.map_or(0, |of| of.queued);
        let (comes, goes) = pace.map_or((0.0, 0.0), |of| (of.in_per_minute, of.out_per_minute));
        let pauses: Vec<_> = self.pauses.iter().filter(|pause| pause.name == name).collect();
        // Both have to end; one without an end has none.
        let ends: Option<Vec<DateTime<Utc>>> = pauses.iter().map(|pause| pause.paused_until).collect();
        QueueBody {
            name: name.to_owned(),
            queued: queued.min(queues::MOST),
            queued_at_least: queued > queues::MOST,
            scheduled: ahead.map_or(0, |of| of.scheduled),
            waiting: ahead.map_or(0, |of| of.waiting),
            running: depth.map_or(0, |of| of.running),
            failed_last_hour: pace.map_or(0, |of| of.failed_last_hour),
            oldest_age_s: depth.and_then(|of| of.oldest_age_s),
            in_per_minute: comes,
            out_per_minute: goes,
            eta_s: eta_s(queued, comes, goes),
            paused: !pauses.is_empty(),
            paused_until: ends.and_then(|ends| ends.into_iter().max()),
            paused_for_everyone: pauses.iter().any(|pause| pause.org_id == EVERYBODY),
            workers: hands.map_or(0, |of| of.workers),
            slots: hands.map_or(0, |of| of.slots),
        }
    }
}

/// How long `queued` jobs last when so many come and go per minute, in seconds.
#[expect(clippy::cast_precision_loss, reason = "at most 100,001")]
fn eta_s(queued: i64, comes: f64, goes: f64) -> Option<f64> {
    match (queued, goes - comes) {
        (0, _) => Some(0.0),
        (_, net) if net > 0.0 => Some((queued as f64 * 60.0 / net).round()),
        _ => None,
    }
}

/// How a queue is to be paused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueuePause {
    /// Until when, if not until somebody resumes it.
    until: Option<DateTime<Utc>>,
    /// For everybody; needs an administrator of the installation.
    #[serde(default)]
    everyone: bool,
}

/// How a queue is to go on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueResume {
    /// For everybody; needs an administrator of the installation.
    #[serde(default)]
    everyone: bool,
}

/// Pause a queue: nothing more of it starts, for the organization or for everybody. What runs goes on, and what is on its
/// way to a worker already may still start.
#[utoipa::path(post, path = "/v1/queues/{name}:pause", tag = "Flow", request_body = QueuePause,
    params(("name" = String, Path, description = "The queue's name")),
    responses((status = 200, description = "It is paused", body = QueueBody)))]
pub(crate) async fn pause(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Path(name): Path<String>,
    MaybeJson(body): MaybeJson<QueuePause>,
) -> Result<Json<QueueBody>, ApiError> {
    let until = ends(body.until)?;
    let subject = subject(&app, &caller, &name, body.everyone).await?;
    let tx = app.engine.db().org(OrgId::from(subject.org)).await?;
    limits::pause(&tx, &subject, until).await?;
    tx.commit().await?;
    shown(&app, &caller, &subject).await
}

/// End a queue's pause. One that is not paused stays as it is.
#[utoipa::path(post, path = "/v1/queues/{name}:resume", tag = "Flow", request_body = QueueResume,
    params(("name" = String, Path, description = "The queue's name")),
    responses((status = 200, description = "It goes on", body = QueueBody)))]
pub(crate) async fn resume(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Path(name): Path<String>,
    MaybeJson(body): MaybeJson<QueueResume>,
) -> Result<Json<QueueBody>, ApiError> {
    let subject = subject(&app, &caller, &name, body.everyone).await?;
    let tx = app.engine.db().org(OrgId::from(subject.org)).await?;
    limits::resume(&tx, &subject).await?;
    tx.commit().await?;
    app.engine.nudge();
    shown(&app, &caller, &subject).await
}

/// Checks when a pause is to end.
///
/// # Errors
/// When that time has passed.
pub(crate) fn ends(until: Option<DateTime<Utc>>) -> Result<Option<DateTime<Utc>>, ApiError> {
    match params::plausible("/until", until)? {
        Some(time) if time <= clock::now() => Err(ApiError::field("/until", "has passed")),
        until => Ok(until),
    }
}

async fn subject<N>(app: &Shared, caller: &Caller<N>, name: &str, everyone: bool) -> Result<Subject, ApiError> {
    let queue: Queue = name.parse().map_err(|_| ApiError::NotFound("queue"))?;
    if everyone {
        caller.need_installation(app).await?;
    }
    let org = if everyone { EVERYBODY } else { caller.org.uuid() };
    Ok(Subject { org, scope: Scope::Queue, name: queue.name().to_owned() })
}

/// The queue as the caller's organization sees it.
async fn shown<N>(app: &Shared, caller: &Caller<N>, subject: &Subject) -> Result<Json<QueueBody>, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let look = Look::at(&tx, Some(caller.org)).await?;
    tx.commit().await?;
    Ok(Json(look.body(&subject.name)))
}

#[cfg(test)]
mod tests {
    use super::{ends, eta_s};
    use gristmill_core::clock;

    #[test]
    fn a_queue_drains_when_more_goes_than_comes() {
        assert_eq!((eta_s(0, 5.0, 0.0), eta_s(10, 5.0, 5.0), eta_s(10, 1.0, 21.0)), (Some(0.0), None, Some(30.0)));
    }

    #[test]
    fn a_pause_ends_later() {
        assert!(ends(Some(clock::now())).is_err() && ends(None).is_ok());
        assert!(ends(Some(clock::now() + chrono::TimeDelta::minutes(1))).is_ok());
    }
}
