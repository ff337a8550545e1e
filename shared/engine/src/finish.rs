//! The outcome of an attempt is written, once: under the fence of its claim, or not at all.

use std::time::Duration;

use gristmill_core::ids::{JobId, OrgId};
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
            Self::Released => Move::Release,
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
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub org: OrgId,
    /// The fence it ran under.
    pub fence: i64,
    /// Which attempt it was.
    pub attempt: i32,
    /// What the job does.
    pub kind: String,
    /// How it ended.
    pub outcome: Outcome,
}

impl Finished {
    /// How `job` ended.
    pub fn new(job: &Claimed, outcome: Outcome) -> Self {
        let kind = job.kind.clone();
        Self { job: job.id, org: job.org_id, fence: job.fence, attempt: job.attempt, kind, outcome }
    }

    fn row(&self) -> Json {
        let (mut wait_s, mut uses_attempt, mut result, mut error) = (None, true, Json::Null, Json::Null);
        match &self.outcome {
            Outcome::Succeeded(value) => result = value.clone(),
            Outcome::Retry { failure, wait } => {
                wait_s = Some(wait.as_secs_f64());
                error = failure.to_json(&self.kind, self.attempt);
            }
            Outcome::Snoozed { wait, .. } => {
                wait_s = Some(wait.as_secs_f64());
                uses_attempt = false;
            }
            Outcome::Failed(failure) => error = failure.to_json(&self.kind, self.attempt),
            Outcome::Cancelled => {}
            Outcome::Released => uses_attempt = false,
        }
        storable(json!({
            "id": self.job.uuid(), "fence": self.fence, "state": self.outcome.state().name(), "result": result,
            "error": error, "wait_s": wait_s, "unused": i32::from(!uses_attempt),
        }))
    }

    fn event(&self) -> Event {
        let data = match &self.outcome {
            Outcome::Retry { failure, wait } => json!({
                "error": failure.to_json(&self.kind, self.attempt),
                "wait_ms": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            }),
            Outcome::Failed(failure) => json!({ "error": failure.to_json(&self.kind, self.attempt) }),
            Outcome::Snoozed { wait, why } => {
                json!({ "why": why, "wait_ms": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) })
            }
            Outcome::Succeeded(_) | Outcome::Cancelled | Outcome::Released => json!({}),
        };
        Event { org: self.org, job: self.job, name: self.outcome.name(), attempt: self.attempt, data }
    }
}

/// Writes how attempts ended, and of each whether it counted: false for one that had lost its lease.
///
/// # Errors
/// When the database cannot be asked; whether it was written is then unknown, and asking again is safe.
pub async fn finish(db: &Db, finished: &[Finished]) -> Result<Vec<bool>> {
    let tx = db.system().await?;
    let counted = write(&tx, finished).await?;
    tx.commit().await?;
    Ok(counted)
}

/// Writes that `job` succeeded, as the last thing in the transaction of what it wrote. False when it had lost its
/// lease: then the transaction must be rolled back.
///
/// # Errors
/// When the database cannot be asked.
pub async fn succeed_in(tx: &OrgTx, job: &Claimed, result: Json) -> Result<bool> {
    let finished = Finished::new(job, Outcome::Succeeded(result));
    Ok(write(tx, &[finished]).await?.first().copied().unwrap_or(false))
}

/// Locks the row of `job` for the transaction that is to finish it: from here on neither the sweeper nor a
/// cancellation comes between. False when it had lost its lease.
///
/// # Errors
/// When the database cannot be asked.
pub async fn hold(tx: &OrgTx, job: &Claimed) -> Result<bool> {
    let statement =
        "SELECT id, state FROM jobs WHERE id = $1 AND org_id = $2 AND fence = $3 AND state = 'running' FOR UPDATE";
    let values = [job.id.into(), job.org_id.into(), job.fence.into()];
    Ok(tx.one::<Touched>(sql(statement, values)).await?.is_some())
}

#[derive(FromQueryResult)]
struct Touched {
    id: JobId,
    state: String,
}

async fn write(tx: &impl Tx, finished: &[Finished]) -> Result<Vec<bool>> {
    let rows: Vec<Json> = finished.iter().map(Finished::row).collect();
    // A job that was called off meanwhile is neither tried again nor given to another worker.
    let touched: Vec<Touched> = tx
        .all(sql(
            "WITH ended AS MATERIALIZED (
                 SELECT e.*, j.cancel_requested_at IS NOT NULL AND e.state IN ('scheduled', 'queued') AS called_off
                 FROM jsonb_to_recordset($1)
                     AS e(id uuid, fence bigint, state text, result jsonb, error jsonb, wait_s float8, unused int)
                 JOIN jobs j ON j.id = e.id AND j.fence = e.fence AND j.state = 'running'
                 ORDER BY j.id FOR UPDATE OF j)
             UPDATE jobs SET
                 state = CASE WHEN called_off THEN 'cancelled' ELSE ended.state END,
                 result = nullif(ended.result, 'null'),
                 error = CASE WHEN ended.state = 'succeeded' THEN NULL ELSE coalesce(nullif(ended.error, 'null'), jobs.error) END,
                 run_at = CASE WHEN wait_s IS NULL THEN run_at ELSE now() + make_interval(secs => wait_s) END,
                 attempt = attempt - unused, lease_until = NULL, dispatched_at = NULL,
                 finished_at = CASE WHEN called_off OR ended.state IN ('succeeded', 'failed', 'cancelled') THEN now() END
             FROM ended WHERE jobs.id = ended.id
             RETURNING jobs.id, jobs.state",
            [Json::Array(rows).into()],
        ))
        .await?;
    let counted: Vec<bool> = finished.iter().map(|one| touched.iter().any(|row| row.id == one.job)).collect();
    let mut events = Vec::with_capacity(touched.len());
    for row in touched {
        let Some(one) = finished.iter().find(|one| one.job == row.id) else { continue };
        let called_off = row.state == State::Cancelled.name() && one.outcome.state() != State::Cancelled;
        if called_off {
            events.push(Event { org: one.org, job: one.job, name: "cancelled", attempt: one.attempt, data: json!({}) });
        } else {
            events.push(one.event());
        }
    }
    events::write(tx, &events).await?;
    Ok(counted)
}
