//! Before a job runs its row is claimed: `queued` becomes `running`, under a new fence and a lease.
//!
//! A message whose row cannot be claimed is a duplicate, or its job was cancelled or dispatched anew meanwhile. All of
//! that is harmless: the message is dropped.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gristmill_core::ids::{JobId, OrgId, WorkerId};
use gristmill_store::{
    Db, Result,
    db::{Tx as _, sql},
};
use sea_orm::FromQueryResult;
use serde_json::{Value as Json, json};

use crate::{
    delivery::Message,
    events::{self, Event},
    state::State,
};

/// A job that is ours to run, until its lease is lost.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Claimed {
    /// The job.
    pub id: JobId,
    /// Whose it is.
    pub org_id: OrgId,
    /// What it does.
    pub kind: String,
    /// What it is given.
    pub args: Json,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// How many there may be.
    pub max_attempts: i32,
    /// How long this one may take, in seconds.
    pub timeout_s: i32,
    /// What everything it writes is written under.
    pub fence: i64,
    /// The request that made it.
    pub request_id: Option<String>,
    /// How long it waited since it might have started, in seconds.
    pub waited_s: f64,
    /// When it started.
    pub started_at: DateTime<Utc>,
}

/// Claims what can be claimed of `messages` for `worker`, answering each in order.
///
/// # Errors
/// When the database cannot be asked. Whether anything was claimed is then unknown; a lease that nobody renews runs out.
pub async fn claim(db: &Db, worker: WorkerId, lease: Duration, messages: &[Message]) -> Result<Vec<Option<Claimed>>> {
    let ids: Vec<uuid::Uuid> = messages.iter().map(|message| message.job_id.uuid()).collect();
    let seqs: Vec<i32> = messages.iter().map(|message| message.dispatch_seq).collect();
    let tx = db.system().await?;
    // Rows are always locked in the order of their ids, by every statement that locks several: no deadlocks.
    let mut claimed: Vec<Claimed> = tx
        .all(sql(
            "WITH mine AS MATERIALIZED (
                 SELECT j.id FROM unnest($1::uuid[], $2::int[]) AS m(id, seq) JOIN jobs j ON j.id = m.id
                 WHERE j.state = 'queued' AND j.dispatch_seq = m.seq AND j.dispatched_at IS NOT NULL
                 ORDER BY j.id FOR UPDATE OF j)
             UPDATE jobs SET state = $3, attempt = attempt + 1, fence = fence + 1, worker_id = $4, started_at = now(),
                 lease_until = now() + make_interval(secs => $5), progress = NULL
             FROM mine WHERE jobs.id = mine.id
             RETURNING jobs.id, org_id, kind, args, attempt, max_attempts, timeout_s, fence, request_id, started_at,
                 extract(epoch FROM now() - greatest(run_at, created_at))::float8 AS waited_s",
            [ids.into(), seqs.into(), State::Running.name().into(), worker.into(), lease.as_secs_f64().into()],
        ))
        .await?;
    let started: Vec<Event> = claimed.iter().map(|job| started(job, worker)).collect();
    events::write(&tx, &started).await?;
    tx.commit().await?;
    let answers = messages.iter().map(|message| {
        let place = claimed.iter().position(|job| job.id == message.job_id)?;
        Some(claimed.swap_remove(place))
    });
    Ok(answers.collect())
}

fn started(job: &Claimed, worker: WorkerId) -> Event {
    let data = json!({ "worker_id": worker.to_string() });
    Event { org: job.org_id, job: job.id, name: "started", attempt: job.attempt, data }
}
