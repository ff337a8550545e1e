//! What people do to jobs: cancel, retry, promote, delete, reorder; to one, or to many at once.

use std::collections::HashSet;

use gristmill_core::ids::JobId;
use gristmill_store::{
    OrgTx, Result,
    db::{Tx as _, sql},
};
use sea_orm::FromQueryResult;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Ctx, Engine,
    events::{self, Event},
    state::{Move, State},
    unique,
};

/// What can be done to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Calls it off: at once if it does not run, else by asking it to stop, and ending it if it does not.
    Cancel,
    /// Lets one that failed or was cancelled run once more, with at least one attempt.
    Retry,
    /// Lets a scheduled one run now.
    Promote,
    /// Removes one that is over, with its history.
    Delete,
    /// Gives one that waits another priority, 0 (first) to 9.
    SetPriority(i16),
}

/// What came of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controlled {
    /// It was done. A running job that was called off was asked to stop; one that is just finishing may still succeed.
    Done,
    /// The organization has no such job.
    NotFound,
    /// It cannot be done to a job in this state.
    Refused(State),
    /// It cannot be retried while another one has its unique key.
    Duplicate,
    /// It cannot be retried before the job that it is to follow.
    Blocked,
}

#[derive(FromQueryResult)]
struct Row {
    id: JobId,
    queue: String,
    kind: String,
    state: String,
    attempt: i32,
    unique_key: Option<String>,
    rivalled: Option<bool>,
    blocked: bool,
}

impl Row {
    fn is_rivalled(&self) -> bool {
        self.rivalled.unwrap_or(false)
    }
}

impl Action {
    /// True for a job in `state` that this can be done to.
    pub fn fits(self, state: State) -> bool {
        match self {
            Self::Cancel => state.after(Move::Cancel).is_some(),
            Self::Retry => state.after(Move::Retry).is_some(),
            Self::Promote => state.after(Move::Promote).is_some(),
            Self::Delete => state.is_over(),
            Self::SetPriority(_) => matches!(state, State::Waiting | State::Scheduled | State::Queued),
        }
    }

    /// What it changes in rows of jobs in `state`, and what the history calls it.
    fn change(self, state: State) -> (String, &'static str) {
        let (change, event) = match (self, state) {
            (Self::Cancel, State::Running) => {
                ("cancel_requested_at = coalesce(cancel_requested_at, now())", "cancel_requested")
            }
            (Self::Cancel, _) => {
                ("state = 'cancelled', cancel_requested_at = now(), finished_at = clock_timestamp()", "cancelled")
            }
            // One that still has others to follow waits for them again.
            (Self::Retry, _) => (
                "state = CASE WHEN EXISTS (SELECT FROM job_edges AS e WHERE e.job_id = jobs.id AND NOT e.met)
                              THEN 'waiting' ELSE 'queued' END,
                 run_at = now(), cancel_requested_at = NULL, finished_at = NULL,
                 error = CASE WHEN error->>'code' = 'dependency-failed' THEN NULL ELSE error END,
                 max_attempts = greatest(max_attempts, attempt + 1)",
                "retried",
            ),
            (Self::Promote, _) => ("state = 'queued', run_at = now()", "promoted"),
            (Self::SetPriority(priority), _) => return (format!("priority = {priority}"), "priority_changed"),
            (Self::Delete, _) => ("", "deleted"),
        };
        (change.to_owned(), event)
    }
}

impl Engine {
    /// Does `action` to the job `id`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn act(&self, tx: &OrgTx, action: Action, id: JobId) -> Result<Controlled> {
        let rows = locked(tx, &[id]).await?;
        let Some(row) = rows.first() else { return Ok(Controlled::NotFound) };
        let Ok(state) = row.state.parse::<State>() else { return Ok(Controlled::NotFound) };
        if !action.fits(state) {
            return Ok(Controlled::Refused(state));
        }
        if action == Action::Retry && row.is_rivalled() {
            return Ok(Controlled::Duplicate);
        }
        if action == Action::Retry && row.blocked {
            return Ok(Controlled::Blocked);
        }
        match self.apply(tx, action, state, &[row]).await {
            // Another one took the key this very moment.
            Err(error) if error.is_conflict() => Ok(Controlled::Duplicate),
            applied => applied.map(|()| Controlled::Done),
        }
    }

    /// Does `action` to those of the jobs that it can be done to, and says to which.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn act_on(&self, tx: &OrgTx, action: Action, ids: &[JobId]) -> Result<Vec<JobId>> {
        let rows = locked(tx, ids).await?;
        let mut done = Vec::with_capacity(rows.len());
        // Of those with one unique key, one can come back.
        let mut taken = HashSet::new();
        for state in State::ALL.into_iter().filter(|state| action.fits(*state)) {
            let mut may = |row: &&Row| {
                action != Action::Retry
                    || !row.is_rivalled()
                        && !row.blocked
                        && row.unique_key.as_ref().is_none_or(|key| taken.insert(key.clone()))
            };
            let of_state: Vec<&Row> =
                rows.iter().filter(|row| row.state == state.name()).filter(|row| may(row)).collect();
            if !of_state.is_empty() {
                self.apply(tx, action, state, &of_state).await?;
                done.extend(of_state.iter().map(|row| row.id));
            }
        }
        Ok(done)
    }

    async fn apply(&self, tx: &OrgTx, action: Action, state: State, rows: &[&Row]) -> Result<()> {
        apply(tx, action, state, rows).await?;
        if action == Action::Cancel && state != State::Running {
            rows.iter().for_each(|row| self.counts.over(tx.org(), &row.queue, &row.kind, State::Cancelled));
        }
        Ok(())
    }
}

impl<S> Ctx<S> {
    /// Does `action` to those of the jobs that it can be done to, never to the running job itself, and says to which.
    /// After the commit of `tx`, [`Ctx::tell`] those who care.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn act_on(&self, tx: &OrgTx, action: Action, ids: &[JobId]) -> Result<Vec<JobId>> {
        let others: Vec<JobId> = ids.iter().copied().filter(|id| *id != self.job_id()).collect();
        self.engine.act_on(tx, action, &others).await
    }

    /// Tells dispatchers, workers and whoever follows these jobs that they were acted on.
    pub fn tell(&self, jobs: &[JobId]) {
        self.engine.nudge();
        for job in jobs {
            self.engine.announce_action(*job);
        }
    }
}

/// Locks the jobs, in the order of their ids.
async fn locked(tx: &OrgTx, ids: &[JobId]) -> Result<Vec<Row>> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let holds = unique::holds("o");
    let statement = format!(
        "SELECT id, queue, kind, state, attempt, unique_key,
                (fence = 0 OR unique_while <> 'queued') AND EXISTS (
                    SELECT FROM jobs AS o WHERE o.org_id = j.org_id AND o.unique_key = j.unique_key AND o.id <> j.id
                      AND {holds}) AS rivalled,
                state = 'cancelled' AND EXISTS (
                    SELECT FROM job_edges AS e JOIN jobs AS a ON a.id = e.after_id
                    WHERE e.job_id = j.id AND NOT e.met AND a.state IN ('failed', 'cancelled')) AS blocked
         FROM jobs AS j WHERE id = ANY($1) AND org_id = $2 ORDER BY id FOR UPDATE OF j"
    );
    tx.all(sql(&statement, [ids.into(), tx.org().into()])).await
}

async fn apply(tx: &OrgTx, action: Action, state: State, rows: &[&Row]) -> Result<()> {
    let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.id.uuid()).collect();
    if action == Action::Delete {
        return delete(tx, &ids).await;
    }
    let (change, event) = action.change(state);
    if action == Action::Retry {
        // What is gone cannot be followed. Whoever is just noting that what they follow succeeded is waited for.
        let gone = "DELETE FROM job_edges AS e WHERE job_id = ANY($1) AND org_id = $2 AND NOT met
            AND NOT EXISTS (SELECT FROM jobs AS a WHERE a.id = e.after_id)";
        tx.execute(sql(gone, [ids.clone().into(), tx.org().into()])).await?;
        let edges = "SELECT job_id FROM job_edges WHERE job_id = ANY($1) AND org_id = $2 AND NOT met
            ORDER BY job_id, after_id FOR UPDATE";
        tx.execute(sql(edges, [ids.clone().into(), tx.org().into()])).await?;
    }
    let statement = format!("UPDATE jobs SET {change} WHERE id = ANY($1) AND org_id = $2");
    tx.execute(sql(&statement, [ids.into(), tx.org().into()])).await?;
    let data = match action {
        Action::SetPriority(priority) => json!({ "priority": priority }),
        _ => json!({}),
    };
    let event = |row: &&Row| Event::now(tx.org(), row.id, event, row.attempt, data.clone());
    events::write(tx, &rows.iter().map(event).collect::<Vec<_>>()).await
}

async fn delete(tx: &OrgTx, ids: &[uuid::Uuid]) -> Result<()> {
    for statement in [
        "DELETE FROM job_events WHERE job_id = ANY($1) AND org_id = $2",
        "DELETE FROM job_steps WHERE job_id = ANY($1) AND org_id = $2",
        "DELETE FROM job_edges WHERE job_id = ANY($1) AND org_id = $2",
        "DELETE FROM jobs WHERE id = ANY($1) AND org_id = $2",
    ] {
        tx.execute(sql(statement, [ids.to_vec().into(), tx.org().into()])).await?;
    }
    Ok(())
}
