//! The outcome of an attempt is written, once: under the fence of its claim, or not at all.

use std::{collections::HashMap, time::Duration};

use gristmill_core::ids::JobId;
use gristmill_store::{
    Db, OrgTx, Result,
    db::{Tx, sql},
};
use sea_orm::FromQueryResult;
use serde_json::{Value as Json, json};

use crate::{
    claim::Claimed,
    events::{self, Event, storable},
    job::Failure,
    state::{Move, State},
};

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// With a result.
    Succeeded(Json),
    /// With a failure that trying again after a while may mend.
    Retry {
        /// What went wrong.
        failure: Failure,
        /// How long to wait.
        wait: Duration,
    },
    /// Not now; this uses up no attempt.
    Snoozed {
        /// How long to wait.
        wait: Duration,
        /// Why.
        why: String,
    },
    /// With a failure for good.
    Failed(Failure),
    /// It was called off.
    Cancelled,
    /// The worker is shutting down and gives it back; this uses up no attempt.
    Released,
}

impl Outcome {
    /// A word for it, for metrics and history.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "succeeded",
            Self::Retry { .. } => "retry_scheduled",
            Self::Snoozed { .. } => "snoozed",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
        }
    }

    fn moves(&self) -> Move {
        match self {
            Self::Succeeded(_) => Move::Succeed,
            Self::Retry { .. } | Self::Snoozed { .. } => Move::Postpone,
            Self::Failed(_) => Move::Fail,
            Self::Cancelled => Move::Cancel,
            Self::Released => Move::GiveBack,
        }
    }

    /// Where it leaves the job.
    pub fn state(&self) -> State {
        // The table has all of these; what it does not have must not be written.
        State::Running.after(self.moves()).unwrap_or(State::Failed)
    }
}

/// An attempt that ended, and how.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The job, as it was claimed.
    pub job: std::sync::Arc<Claimed>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What an outcome makes of a job's row.
#[derive(Default)]
struct Change {
    result: Json,
    error: Json,
    wait: Option<Duration>,
    unused: i32,
}

impl Finished {
    fn change(&self) -> Change {
        let error = |failure: &Failure| failure.to_json(&self.job.kind, self.job.attempt);
        match &self.outcome {
            Outcome::Succeeded(value) => Change { result: value.clone(), ..Change::default() },
            Outcome::Retry { failure, wait } => {
                Change { error: error(failure), wait: Some(*wait), ..Change::default() }
            }
            Outcome::Snoozed { wait, .. } => Change { wait: Some(*wait), unused: 1, ..Change::default() },
            Outcome::Failed(failure) => Change { error: error(failure), ..Change::default() },
            Outcome::Cancelled => Change::default(),
            Outcome::Released => Change { unused: 1, ..Change::default() },
        }
    }

    /// What the history keeps beyond the row: nothing where the row tells it all.
    fn events(&self, called_off: bool) -> Vec<Event> {
        let job = &self.job;
        let millis = |wait: &Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let error = |failure: &Failure| failure.to_json(&job.kind, job.attempt);
        let data = match &self.outcome {
            Outcome::Succeeded(_) => return Vec::new(),
            _ if called_off => json!({}),
            Outcome::Retry { failure, wait } => json!({ "error": error(failure), "wait_ms": millis(wait) }),
            Outcome::Failed(failure) => json!({ "error": error(failure) }),
            Outcome::Snoozed { wait, why } => json!({ "why": why, "wait_ms": millis(wait) }),
            Outcome::Cancelled | Outcome::Released => json!({}),
        };
        let name = if called_off { "cancelled" } else { self.outcome.name() };
        vec![
            Event::started(job.org_id, job.id, job.attempt, &job.worker_id.to_string(), job.started_at),
            Event::now(job.org_id, job.id, name, job.attempt, data),
        ]
    }
}

/// Writes how attempts ended, and of each whether it counted: false for one that had lost its lease.
///
/// # Errors
/// When the database cannot be asked; whether it was written is then unknown, and asking again is safe.
pub async fn finish(db: &Db, finished: &[Finished]) -> Result<Vec<bool>> {
    // Success is what happens nearly always, and needs no more than the row.
    if finished.iter().all(|one| matches!(one.outcome, Outcome::Succeeded(_))) {
        return write(&db.now(), finished).await.map(|(counted, _)| counted);
    }
    let tx = db.system().await?;
    let (counted, events) = write(&tx, finished).await?;
    events::write(&tx, &events).await?;
    tx.commit().await?;
    Ok(counted)
}

/// Writes that `job` succeeded, as the last thing in the transaction of what it wrote. False when it had lost its
/// lease: then the transaction must be rolled back.
///
/// # Errors
/// When the database cannot be asked.
pub async fn succeed_in(tx: &OrgTx, job: &std::sync::Arc<Claimed>, result: Json) -> Result<bool> {
    let finished = Finished { job: job.clone(), outcome: Outcome::Succeeded(result) };
    Ok(write(tx, &[finished]).await?.0.first().copied().unwrap_or(false))
}

#[derive(FromQueryResult)]
struct Touched {
    id: JobId,
    state: String,
}

/// Locks the row of `job` for the transaction that is to finish it: from here on neither the sweeper nor a
/// cancellation comes between. False when it had lost its lease.
///
/// # Errors
/// When the database cannot be asked.
pub async fn hold(tx: &OrgTx, job: &Claimed) -> Result<bool> {
    let statement =
        "SELECT id, state FROM jobs WHERE id = $1 AND org_id = $2 AND fence = $3 AND worker_id = $4 AND state = 'running'
         FOR UPDATE";
    let values = [job.id.into(), job.org_id.into(), job.fence.into(), job.worker_id.into()];
    Ok(tx.one::<Touched>(sql(statement, values)).await?.is_some())
}

/// JSON as text that Postgres keeps; empty for null.
fn text(json: Json) -> String {
    match json {
        Json::Null => String::new(),
        json => {
            let text = json.to_string();
            if text.contains("\\u0000") { storable(json).to_string() } else { text }
        }
    }
}

async fn write(tx: &impl Tx, finished: &[Finished]) -> Result<(Vec<bool>, Vec<Event>)> {
    let changes: Vec<Change> = finished.iter().map(Finished::change).collect();
    let waits: Vec<f64> = changes.iter().map(|one| one.wait.map_or(-1.0, |wait| wait.as_secs_f64())).collect();
    let unused: Vec<i32> = changes.iter().map(|one| one.unused).collect();
    let (results, errors): (Vec<String>, Vec<String>) =
        changes.into_iter().map(|one| (text(one.result), text(one.error))).unzip();
    // Rows are found by their ids, see `claim`. A job that was called off meanwhile is neither tried again nor given to another worker.
    let touched: Vec<Touched> = tx
        .all(sql(
            "WITH ended AS MATERIALIZED (
                 SELECT e.*, j.cancel_requested_at IS NOT NULL AND e.state IN ('scheduled', 'queued') AS called_off
                 FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::int[], $8::uuid[])
                     AS e(id, fence, state, result, error, wait_s, unused, worker_id)
                 JOIN jobs AS j ON j.id = e.id AND j.fence = e.fence AND j.worker_id = e.worker_id AND j.state IS NOT DISTINCT FROM 'running'
                 ORDER BY j.id FOR UPDATE OF j)
             UPDATE jobs SET
                 state = CASE WHEN called_off THEN 'cancelled' ELSE ended.state END,
                 result = nullif(ended.result, '')::jsonb,
                 error = CASE WHEN ended.state = 'succeeded' THEN NULL
                              ELSE coalesce(nullif(ended.error, '')::jsonb, jobs.error) END,
                 run_at = CASE WHEN wait_s < 0 THEN run_at ELSE now() + make_interval(secs => wait_s) END,
                 attempt = attempt - unused, lease_until = NULL,
                 finished_at = CASE WHEN called_off OR ended.state IN ('succeeded', 'failed', 'cancelled')
                                    THEN clock_timestamp() END
             FROM ended WHERE jobs.id = ended.id
             RETURNING jobs.id, jobs.state",
            [
                finished.iter().map(|one| one.job.id.uuid()).collect::<Vec<_>>().into(),
                finished.iter().map(|one| one.job.fence).collect::<Vec<_>>().into(),
                finished.iter().map(|one| one.outcome.state().name().to_owned()).collect::<Vec<_>>().into(),
                results.into(),
                errors.into(),
                waits.into(),
                unused.into(),
                finished.iter().map(|one| one.job.worker_id.uuid()).collect::<Vec<_>>().into(),
            ],
        ))
        .await?;
    let became: HashMap<JobId, String> = touched.into_iter().map(|row| (row.id, row.state)).collect();
    let mut events = Vec::new();
    for one in finished {
        let Some(state) = became.get(&one.job.id) else { continue };
        let called_off = state == State::Cancelled.name() && one.outcome.state() != State::Cancelled;
        events.extend(one.events(called_off));
    }
    Ok((finished.iter().map(|one| became.contains_key(&one.job.id)).collect(), events))
}
