//! What happened to a job, in order.
//!
//! A job's row tells when it was made, when it last started and that it succeeded; what else happened is kept as rows of
//! its own. Here both are read as one history. An event's id is its time in microseconds since 1970.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use gristmill_core::ids::{JobId, OrgId, WorkerId};
use sea_orm::FromQueryResult;
use serde_json::{Value as Json, json};

use crate::{
    db::{OrgTx, SystemNow, Tx, sql},
    error::Result,
    jobs::{self, Job},
};

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct JobEvent {
    /// Its place in the order of the job's events.
    pub id: i64,
    /// The job.
    pub job_id: JobId,
    /// When.
    pub at: DateTime<Utc>,
    /// What: `created`, `started`, `progress`, `log`, `retry_scheduled`, `succeeded` ….
    pub r#type: String,
    /// During which attempt; 0 before the first.
    pub attempt: i32,
    /// The particulars.
    pub data: Json,
}

#[derive(FromQueryResult)]
struct Row {
    id: i64,
    r#type: String,
    attempt: i32,
    data: Json,
}

/// The events of `job` after the one with id `after` (0 for all), oldest first, at most `limit`. Read the job before, in
/// the same transaction.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, job: &Job, after: i64, limit: u64) -> Result<Vec<JobEvent>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let rows: Vec<Row> = tx
        .all(sql(
            "SELECT id, type, attempt, data FROM job_events
             WHERE job_id = $1 AND org_id = $2 AND id > $3 ORDER BY id LIMIT $4",
            [job.id.into(), tx.org().into(), after.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()],
        ))
        .await?;
    let complete = rows.len() < limit;
    let mut events: Vec<JobEvent> = rows.into_iter().map(|row| row.event(job.id)).collect();
    events.extend(Told::from(job).events(complete).into_iter().filter(|event| event.id > after));
    events.sort_by_key(|event| event.id);
    events.truncate(limit);
    Ok(events)
}

/// The same for the job `id`; nothing for one that is not there.
///
/// # Errors
/// When the database cannot be asked.
pub async fn of(tx: &OrgTx, id: JobId, after: i64, limit: u64) -> Result<Vec<JobEvent>> {
    match jobs::find(tx, id).await? {
        Some(job) => list(tx, &job, after, limit).await,
        None => Ok(Vec::new()),
    }
}

/// Events of several jobs, read together.
#[derive(Debug, Default)]
pub struct News {
    /// Each job's in order, one job after another.
    pub events: Vec<JobEvent>,
    /// Jobs of which more happened than was read: ask again.
    pub more: Vec<JobId>,
}

/// The events of each of these jobs after the one with the id beside it, at most `limit` of each. Jobs that are not the
/// organization's have none.
///
/// # Errors
/// When the database cannot be asked.
pub async fn news(tx: &OrgTx, jobs: &[(JobId, i64)], limit: u64) -> Result<News> {
    #[derive(FromQueryResult)]
    struct Of {
        job_id: JobId,
        id: i64,
        r#type: String,
        attempt: i32,
        data: Json,
    }
    let (ids, after): (Vec<uuid::Uuid>, Vec<i64>) = jobs.iter().map(|(id, after)| (id.uuid(), *after)).unzip();
    let told = "SELECT id, state, attempt, worker_id, run_at, created_at, started_at, finished_at
        FROM jobs WHERE id = ANY($1) AND org_id = $2";
    let rows: Vec<Told> = tx.all(sql(told, [ids.clone().into(), tx.org().into()])).await?;
    let statement = "SELECT e.job_id, e.id, e.type, e.attempt, e.data
        FROM unnest($1::uuid[], $2::bigint[]) AS j(id, after), LATERAL (
            SELECT * FROM job_events WHERE job_id = j.id AND org_id = $3 AND id > j.after ORDER BY id LIMIT $4) AS e";
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let found: Vec<Of> = tx.all(sql(statement, [ids.into(), after.into(), tx.org().into(), most.into()])).await?;
    let mut by_job: HashMap<JobId, Vec<JobEvent>> = HashMap::new();
    for Of { job_id, id, r#type, attempt, data } in found {
        by_job.entry(job_id).or_default().push(Row { id, r#type, attempt, data }.event(job_id));
    }
    let (after, mut news) = (jobs.iter().copied().collect::<HashMap<_, _>>(), News::default());
    for row in rows {
        let mut events = by_job.remove(&row.id).unwrap_or_default();
        let complete = events.len() < limit;
        let after = after.get(&row.id).copied().unwrap_or(0);
        events.extend(row.events(complete).into_iter().filter(|event| event.id > after));
        events.sort_by_key(|event| event.id);
        news.events.extend(events);
        if !complete {
            news.more.push(row.id);
        }
    }
    Ok(news)
}

/// The database's time, as ids of events have it.
///
/// # Errors
/// When the database cannot be asked.
pub async fn now(tx: &OrgTx) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Now {
        now: i64,
    }
    let statement = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now";
    Ok(tx.one::<Now>(sql(statement, [])).await?.map_or(0, |row| row.now))
}

/// Whose jobs these are; nothing of those that are not there.
///
/// # Errors
/// When the database cannot be asked.
pub async fn owners(now: &SystemNow<'_>, jobs: &[JobId]) -> Result<Vec<(OrgId, JobId)>> {
    #[derive(FromQueryResult)]
    struct Owned {
        id: JobId,
        org_id: OrgId,
    }
    let ids: Vec<uuid::Uuid> = jobs.iter().map(|id| id.uuid()).collect();
    let rows: Vec<Owned> = now.all(sql("SELECT id, org_id FROM jobs WHERE id = ANY($1)", [ids.into()])).await?;
    Ok(rows.into_iter().map(|row| (row.org_id, row.id)).collect())
}

impl Row {
    fn event(self, job_id: JobId) -> JobEvent {
        let Self { id, r#type, attempt, data } = self;
        JobEvent { id, job_id, at: DateTime::from_timestamp_micros(id).unwrap_or_default(), r#type, attempt, data }
    }
}

/// What a job's row tells of its history.
#[derive(FromQueryResult)]
struct Told {
    id: JobId,
    state: String,
    attempt: i32,
    worker_id: Option<WorkerId>,
    run_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<&Job> for Told {
    fn from(job: &Job) -> Self {
        Self {
            id: job.id,
            state: job.state.clone(),
            attempt: job.attempt,
            worker_id: job.worker_id,
            run_at: job.run_at,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
        }
    }
}

impl Told {
    /// `complete` says whether all other events were read: success comes after them.
    fn events(&self, complete: bool) -> Vec<JobEvent> {
        let event = |r#type: &str, at: DateTime<Utc>, attempt: i32, data: Json| JobEvent {
            id: at.timestamp_micros(),
            job_id: self.id,
            at,
            r#type: r#type.to_owned(),
            attempt,
            data,
        };
        let mut told = vec![event("created", self.created_at, 0, json!({ "run_at": self.run_at }))];
        let has_run = matches!(self.state.as_str(), "running" | "succeeded");
        if let Some(at) = self.started_at.filter(|_| has_run) {
            told.push(event("started", at, self.attempt, json!({ "worker_id": self.worker_id })));
        }
        if let Some(at) = self.finished_at.filter(|_| complete && self.state == "succeeded") {
            told.push(event("succeeded", at, self.attempt, json!({})));
        }
        told
    }
}
