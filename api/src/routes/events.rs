//! `/v1/events`: what happens to an organization's jobs, as it happens.

mod hub;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    time::Duration,
};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{
        IntoResponse as _, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures::{Stream, stream};
use gristmill_core::ids::{JobId, OrgId};
use gristmill_engine::Engine;
use gristmill_store::{job_events, keys::Scope};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use utoipa::IntoParams;

pub(crate) use self::hub::Hub;
use self::hub::Lot;
use crate::{
    app::Shared,
    auth::{Caller, Read},
    params::Query,
    problem::ApiError,
    routes::job_events::{HEARTBEAT, JobEventBody, RECONNECT, last_event_id},
    wait::Stopping,
};

/// Jobs that are looked at together.
const JOBS: usize = 100;
/// Events of one job that are read at once.
const EVENTS: u64 = 100;
/// Jobs of which it is remembered what was told of them.
const REMEMBERED: usize = 10_000;
/// Jobs that changed and were not looked at yet; beyond that the follower is told that it missed some.
const WAITING: usize = 20_000;
/// Jobs end side by side, and what ended first may be told last: so much before the last event that was seen is told again
/// when a stream is resumed.
const SLACK: Duration = Duration::from_secs(2);
const SLACK_US: i64 = 2_000_000;
/// After the database could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Which events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Only these, separated by commas: `job.succeeded,job.failed`; `job.*` for all of jobs.
    types: Option<String>,
}

/// Follow what happens to the organization's jobs, as a stream of server-sent events: `event` is the type
/// (`job.created`, `job.started`, `job.progress`, `job.log`, `job.succeeded` …), `id` the event's, `data` the event as in
/// a job's own history.
///
/// What is promised: the events of one job come in their order, as they happen. Sent as `Last-Event-ID`, an id resumes
/// the stream where the server still remembers what changed since; an event may then come twice, which its `job_id` and
/// `id` tell. Where it is known that something may have been missed (too much at once, a server that began anew, a
/// database out of reach) an event `gap` says so: then read the list of jobs. What is not promised is that nothing is
/// missed while the delivery is out of reach. A batch of jobs is not announced; the history of each of its jobs begins
/// to be told when it first changes. A job's own history has everything, always.
#[utoipa::path(get, path = "/v1/events", tag = "Jobs",
    params(StreamQuery, ("last-event-id" = Option<i64>, Header, description = "Resume after this event")),
    responses((status = 200, description = "Events as they happen", content((String = "text/event-stream")))))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Extension(hub): Extension<Hub>,
    Query(query): Query<StreamQuery>,
    stop: Stopping,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wanted = Wanted::read(query.types.as_deref())?;
    let resume = last_event_id(&headers)?;
    let tx = app.engine.db().org(caller.org).await?;
    let now = job_events::now(&tx).await?;
    tx.commit().await?;
    let ago = |after: i64| Duration::from_micros(u64::try_from(now.saturating_sub(after)).unwrap_or(0));
    let (lots, missed) = hub.follow(&app.engine, resume.map(ago));
    let mut following = Following {
        engine: app.engine.clone(),
        org: caller.org,
        may_operate: caller.may(Scope::Operate),
        wanted,
        lots,
        stop,
        since: resume.map_or(now, |id| id.saturating_sub(SLACK_US)),
        told: HashMap::new(),
        changed: HashSet::new(),
        ready: VecDeque::new(),
        gap: missed.is_none(),
    };
    following.changed.extend(missed.unwrap_or_default());
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("still here");
    // The first comment makes a client see that it is connected although nothing happens.
    let hello = stream::iter([Ok(sse::Event::default().comment("following").retry(RECONNECT))]);
    let events = futures::StreamExt::chain(hello, following.into_stream());
    let mut response = Sse::new(events).keep_alive(heartbeat).into_response();
    // Tells nginx and its like not to hold events back.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// Which types are wanted; all where none is named.
#[derive(Debug, Default)]
struct Wanted(Vec<String>);

impl Wanted {
    fn read(types: Option<&str>) -> Result<Self, ApiError> {
        let named = |name: &str| {
            let known = name == "*" || name.strip_prefix("job.").is_some_and(|rest| !rest.is_empty());
            if known {
                Ok(name.to_owned())
            } else {
                Err(ApiError::field("types", format!("there is no type \"{name}\"")))
            }
        };
        let names = types.into_iter().flat_map(|types| types.split(',')).map(str::trim);
        Ok(Self(names.map(named).collect::<Result<_, _>>()?))
    }

    fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|wanted| wanted == "*" || wanted == "job.*" || wanted == name)
    }
}

/// What a stream knows and still has to do.
struct Following {
    engine: Engine,
    org: OrgId,
    may_operate: bool,
    wanted: Wanted,
    lots: Receiver<Lot>,
    stop: Stopping,
    /// Events of jobs that nothing was told of yet are wanted after this one.
    since: i64,
    /// The last event that was told of a job.
    told: HashMap<JobId, i64>,
    changed: HashSet<JobId>,
    ready: VecDeque<sse::Event>,
    /// Something may have been missed, which was not told yet.
    gap: bool,
}

impl Following {
    fn into_stream(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, |mut following| async move {
            loop {
                if std::mem::take(&mut following.gap) {
                    let data = json!({ "message": "Events may have been missed; read the list of jobs." });
                    return Some((Ok(sse::Event::default().event("gap").data(data.to_string())), following));
                }
                if let Some(event) = following.ready.pop_front() {
                    return Some((Ok(event), following));
                }
                if !following.hear().await {
                    return None;
                }
                if let Err(error) = following.look().await {
                    tracing::warn!(%error, "a stream of events stalls; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        })
    }

    /// Takes in what changed, waiting for it where nothing is known of; false at the end.
    async fn hear(&mut self) -> bool {
        loop {
            // What came meanwhile is taken along.
            let heard = match self.lots.try_recv() {
                Ok(lot) => Ok(lot),
                Err(_) if !self.changed.is_empty() => return true,
                Err(_) => tokio::select! {
                    () = self.stop.0.cancelled() => return false,
                    lot = self.lots.recv() => lot,
                },
            };
            match heard {
                Ok(Some(lot)) => {
                    let own = lot.iter().filter(|(org, _)| *org == self.org).map(|(_, job)| *job);
                    self.changed.extend(own);
                }
                Ok(None) | Err(RecvError::Lagged(_)) => self.gap = true,
                Err(RecvError::Closed) => return false,
            }
            if self.changed.len() > WAITING {
                self.changed.clear();
                self.gap = true;
            }
            if self.gap {
                return true;
            }
        }
    }

    /// Reads what happened to some of the jobs that changed.
    async fn look(&mut self) -> Result<(), ApiError> {
        let of = |job: &JobId| (*job, self.told.get(job).copied().unwrap_or(self.since));
        let jobs: Vec<(JobId, i64)> = self.changed.iter().take(JOBS).map(of).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        let tx = self.engine.db().org(self.org).await?;
        let news = job_events::news(&tx, &jobs, EVENTS).await?;
        tx.commit().await?;
        for (job, _) in &jobs {
            self.changed.remove(job);
        }
        self.changed.extend(news.more);
        self.forget();
        for event in news.events {
            self.told.insert(event.job_id, event.id);
            let name = format!("job.{}", event.r#type);
            if self.wanted.has(&name) {
                let id = event.id.to_string();
                let data = serde_json::to_string(&JobEventBody::seen(event, self.may_operate)).unwrap_or_default();
                self.ready.push_back(sse::Event::default().id(id).event(name).data(data));
            }
        }
        Ok(())
    }

    /// Keeps what is remembered small: of jobs that are forgotten only what happens from a moment ago on is told.
    fn forget(&mut self) {
        if self.told.len() > REMEMBERED {
            let newest = self.told.values().max().copied().unwrap_or(self.since);
            let recent = newest.saturating_sub(SLACK_US);
            self.told.retain(|_, told| *told >= recent);
            self.since = self.since.max(recent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn types_are_named_one_by_one_or_all() {
        let some = Wanted::read(Some("job.failed, job.succeeded")).unwrap();
        assert!(some.has("job.failed") && some.has("job.succeeded") && !some.has("job.log"));
        assert!(Wanted::read(None).unwrap().has("job.log") && Wanted::read(Some("job.*")).unwrap().has("job.log"));
        assert!(Wanted::read(Some("jobs.failed")).is_err() && Wanted::read(Some("")).is_err());
    }
}
