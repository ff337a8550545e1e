//! What people do to jobs: cancel, retry, promote.

use gristmill_core::ids::JobId;
use gristmill_store::{
    OrgTx, Result,
    db::{Tx as _, sql},
};
use sea_orm::FromQueryResult;
use serde_json::json;

use crate::{
    Engine,
    events::{self, Event},
    state::{Move, State},
};

/// What came of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controlled {
    /// It was done. A running job that was called off was asked to stop; one that is just finishing may still succeed.
    Done,
    /// The organization has no such job.
    NotFound,
    /// It cannot be done to a job in this state.
    Refused(State),
}

#[derive(FromQueryResult)]
struct Row {
    state: String,
    attempt: i32,
}

impl Engine {
    /// Calls a job off: at once if it is not running, else by asking it to stop, and ending it if it does not.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn cancel(&self, tx: &OrgTx, id: JobId) -> Result<Controlled> {
        let Some((state, attempt)) = locked(tx, id).await? else { return Ok(Controlled::NotFound) };
        if state.after(Move::Cancel).is_none() {
            return Ok(Controlled::Refused(state));
        }
        let (change, event) = match state {
            State::Running => ("cancel_requested_at = coalesce(cancel_requested_at, now())", "cancel_requested"),
            _ => (
                "state = 'cancelled', cancel_requested_at = now(), dispatched_at = NULL, finished_at = now()",
                "cancelled",
            ),
        };
        change_job(tx, id, change).await?;
        note(tx, id, event, attempt).await?;
        Ok(Controlled::Done)
    }

    /// Lets a job that failed or was cancelled run once more, with at least one attempt.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn retry(&self, tx: &OrgTx, id: JobId) -> Result<Controlled> {
        let change = "state = 'queued', run_at = now(), dispatched_at = NULL, cancel_requested_at = NULL,
            finished_at = NULL, max_attempts = greatest(max_attempts, attempt + 1)";
        self.step(tx, id, Move::Retry, change, "retried").await
    }

    /// Lets a scheduled job run now.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn promote(&self, tx: &OrgTx, id: JobId) -> Result<Controlled> {
        self.step(tx, id, Move::Promote, "state = 'queued', run_at = now(), dispatched_at = NULL", "promoted").await
    }

    async fn step(&self, tx: &OrgTx, id: JobId, by: Move, change: &str, event: &'static str) -> Result<Controlled> {
        let Some((state, attempt)) = locked(tx, id).await? else { return Ok(Controlled::NotFound) };
        // A queued job has nothing to be promoted from: it runs as soon as it can.
        if state.after(by).is_none() {
            return Ok(Controlled::Refused(state));
        }
        change_job(tx, id, change).await?;
        note(tx, id, event, attempt).await?;
        Ok(Controlled::Done)
    }
}

async fn locked(tx: &OrgTx, id: JobId) -> Result<Option<(State, i32)>> {
    let statement = "SELECT state, attempt FROM jobs WHERE id = $1 AND org_id = $2 FOR UPDATE";
    let row = tx.one::<Row>(sql(statement, [id.into(), tx.org().into()])).await?;
    Ok(row.and_then(|row| Some((row.state.parse().ok()?, row.attempt))))
}

async fn change_job(tx: &OrgTx, id: JobId, change: &str) -> Result<()> {
    let statement = format!("UPDATE jobs SET {change} WHERE id = $1 AND org_id = $2");
    tx.execute(sql(&statement, [id.into(), tx.org().into()])).await?;
    Ok(())
}

async fn note(tx: &OrgTx, id: JobId, name: &'static str, attempt: i32) -> Result<()> {
    events::write(tx, &[Event { org: tx.org(), job: id, name, attempt, data: json!({}) }]).await
}
