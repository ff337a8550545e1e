//! Before a job runs its row is claimed: `queued` becomes `running`, under a new fence and a lease.
//!
//! A message whose row cannot be claimed is a duplicate, or its job was cancelled or dispatched anew meanwhile. All of
//! that is harmless: the message is dropped.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use gristmill_core::ids::{JobId, OrgId, WorkerId};
use gristmill_store::{
    Db, Result,
    db::{Tx as _, sql},
};
use sea_orm::FromQueryResult;
use serde_json::Value as Json;

use crate::{delivery::Message, queue::Queue, window};

/// A job that is ours to run, until its lease is lost.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Claimed {
    /// The job.
    pub id: JobId,
    /// Whose it is.
    pub org_id: OrgId,
    /// What it does.
    pub kind: String,
    /// Where it waited.
    pub queue: String,
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
    /// Who runs it.
    pub worker_id: WorkerId,
}

impl Claimed {
    /// Where it waited.
    pub fn queue(&self) -> Queue {
        self.queue.parse().unwrap_or(Queue::Default)
    }
}

/// Claims what can be claimed of `messages` for `worker`, answering each in order. Their slots in the window are free
/// afterwards, claimed or not.
///
/// The commit does not wait for the disk. A claim that a crash of Postgres forgets leaves its job queued, to be claimed
/// again; what the forgotten run still wants to write is refused, because everything is written under fence *and*
/// worker. A submission and an outcome do wait: those are promises.
///
/// # Errors
/// When the database cannot be asked. Whether anything was claimed is then unknown; a lease that nobody renews runs out.
pub async fn claim(db: &Db, worker: WorkerId, lease: Duration, messages: &[Message]) -> Result<Vec<Option<Claimed>>> {
    // Rows are always locked in the order of their ids, by every statement that locks several: no deadlocks. One that
    // somebody holds is left to the next dispatch, so that it does not hold up its neighbours.
    // IS NOT DISTINCT FROM is `=` that no index serves: rows are found by their ids. The partial index of what is queued
    // looks small to the planner, but is full of dead entries where many jobs are claimed (7 times as slow).
    let claimed: Vec<Claimed> = db
        .now()
        .all(sql(
            "WITH sent AS MATERIALIZED (
                 SELECT w.slot, w.job_id, w.queue, w.kind
                 FROM (SELECT set_config('synchronous_commit', 'off', true)) AS quick,
                     unnest($1::uuid[], $2::int[], $3::bigint[]) AS m(id, slot, seq)
                 JOIN window_slots AS w ON w.slot = m.slot AND w.seq = m.seq AND w.job_id = m.id
                 ORDER BY w.slot FOR UPDATE OF w),
             freed AS (UPDATE window_slots AS w SET job_id = NULL FROM sent WHERE w.slot = sent.slot),
             mine AS MATERIALIZED (
                 SELECT j.id FROM sent JOIN jobs AS j ON j.id = sent.job_id
                 WHERE j.state IS NOT DISTINCT FROM 'queued' AND j.queue IS NOT DISTINCT FROM sent.queue AND j.kind IS NOT DISTINCT FROM sent.kind
                 ORDER BY j.id FOR UPDATE OF j SKIP LOCKED)
             UPDATE jobs SET state = 'running', attempt = attempt + 1, fence = fence + 1, worker_id = $4,
                 started_at = clock_timestamp(), lease_until = now() + make_interval(secs => $5), progress = NULL
             FROM mine WHERE jobs.id = mine.id
             RETURNING jobs.id, org_id, kind, queue, args, attempt, max_attempts, timeout_s, fence, request_id,
                 started_at, worker_id, extract(epoch FROM started_at - greatest(run_at, created_at))::float8 AS waited_s",
            [
                messages.iter().map(|message| message.job_id.uuid()).collect::<Vec<_>>().into(),
                messages.iter().map(window::slot_of).collect::<Vec<_>>().into(),
                messages.iter().map(window::seq_of).collect::<Vec<_>>().into(),
                worker.into(),
                lease.as_secs_f64().into(),
            ],
        ))
        .await?;
    let mut claimed: HashMap<JobId, Claimed> = claimed.into_iter().map(|job| (job.id, job)).collect();
    Ok(messages.iter().map(|message| claimed.remove(&message.job_id)).collect())
}
