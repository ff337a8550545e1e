//! A worker's pulse: leases are renewed, progress and log lines written, cancellations noticed.
//!
//! One task per worker process does this for all jobs it runs, in one statement each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures::StreamExt as _;
use gristmill_core::ids::JobId;
use gristmill_store::{
    Result,
    db::{Tx as _, sql},
    workers,
};
use sea_orm::FromQueryResult;
use serde_json::{Value as Json, json};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Engine,
    ctx::{Attempt, Notes},
    events::{self, Event, storable},
};

/// What jobs say of their progress is collected for so long.
const NOTES_EVERY: Duration = Duration::from_millis(200);
/// How long writing it may take.
const NOTES_LIMIT: Duration = Duration::from_secs(5);

/// The jobs a worker process runs.
#[derive(Debug, Default)]
pub(crate) struct Running {
    attempts: Mutex<HashMap<JobId, Arc<Attempt>>>,
    pub(crate) noted: Arc<Notify>,
    /// Held while notes are written.
    writing: tokio::sync::Mutex<()>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Arc<Attempt>>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, attempt: &Arc<Attempt>) {
        // The same job claimed again: whatever ran it before has lost it.
        if let Some(before) = self.lock().insert(attempt.job.id, attempt.clone()) {
            before.lost.cancel();
        }
    }

    /// Forgets an attempt, unless a later one of the same job took its place.
    pub(crate) fn remove(&self, attempt: &Arc<Attempt>) {
        let mut attempts = self.lock();
        if attempts.get(&attempt.job.id).is_some_and(|running| Arc::ptr_eq(running, attempt)) {
            attempts.remove(&attempt.job.id);
        }
    }

    /// Writes what the attempt has said so far, so that its history has it before its end. What was taken for writing
    /// before is waited for.
    pub(crate) async fn settle(&self, engine: &Engine, attempt: &Arc<Attempt>) -> Result<()> {
        if attempt.spoke.load(Ordering::Acquire) {
            self.write_notes(engine, std::slice::from_ref(attempt)).await?;
        }
        Ok(())
    }

    fn all(&self) -> Vec<Arc<Attempt>> {
        self.lock().values().cloned().collect()
    }

    fn get(&self, job: JobId) -> Option<Arc<Attempt>> {
        self.lock().get(&job).cloned()
    }
}

/// Beats until `stop`.
pub(crate) async fn beat(
    engine: Engine,
    running: Arc<Running>,
    lease: Duration,
    worker: workers::Worker,
    stop: CancellationToken,
) {
    let mut announcements = engine.delivery().announcements();
    // A connection that hangs must not keep the next beat from another one.
    let limit = lease / 3;
    let mut beats = tokio::time::interval(lease / 3);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let done = tokio::select! {
            () = stop.cancelled() => break,
            _ = beats.tick() => {
                let attempts = running.all();
                let beat = async { renew(&engine, lease, &attempts).await?; note_alive(&engine, &worker).await };
                timeout(limit, beat).await
            }
            // Somebody acted on one of our jobs: perhaps it is called off.
            Some(change) = announcements.next() => match running.get(change.job) {
                Some(attempt) if change.by_hand => timeout(limit, renew(&engine, lease, &[attempt])).await,
                _ => Ok(Ok(())),
            },
            () = running.noted.notified() => {
                tokio::time::sleep(NOTES_EVERY).await;
                Ok(running.write_notes(&engine, &running.all()).await)
            }
        };
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "leases and progress cannot be written; trying again"),
            Err(_) => tracing::warn!("the database does not answer; leases and progress are tried again"),
        }
    }
    let gone = async {
        let tx = engine.db().system().await?;
        workers::gone(&tx, worker.id).await?;
        tx.commit().await
    };
    if !matches!(timeout(limit, gone).await, Ok(Ok(()))) {
        tracing::warn!("the worker could not be signed off; it will count as silent");
    }
}

async fn note_alive(engine: &Engine, worker: &workers::Worker) -> Result<()> {
    let tx = engine.db().system().await?;
    workers::seen(&tx, worker).await?;
    tx.commit().await
}

#[derive(FromQueryResult)]
struct Beat {
    id: uuid::Uuid,
    mine: bool,
    called_off: bool,
}

/// Renews leases and tells attempts what became of their jobs. A row that somebody has locked is left as it is: it is
/// being finished or called off, and whoever locked it keeps the sweeper away too.
async fn renew(engine: &Engine, lease: Duration, attempts: &[Arc<Attempt>]) -> Result<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    let ids: Vec<uuid::Uuid> = attempts.iter().map(|attempt| attempt.job.id.uuid()).collect();
    let fences: Vec<i64> = attempts.iter().map(|attempt| attempt.job.fence).collect();
    let workers: Vec<uuid::Uuid> = attempts.iter().map(|attempt| attempt.job.worker_id.uuid()).collect();
    let beats: Vec<Beat> = engine
        .db()
        .now()
        .all(sql(
            "WITH asked AS MATERIALIZED (
                 SELECT a.* FROM (SELECT set_config('synchronous_commit', 'off', true)) AS quick,
                     unnest($1::uuid[], $2::bigint[], $4::uuid[]) AS a(id, fence, worker_id)),
             held AS MATERIALIZED (
                 SELECT j.id FROM asked a
                 JOIN jobs j ON j.id = a.id AND j.fence = a.fence AND j.worker_id = a.worker_id AND j.state IS NOT DISTINCT FROM 'running'
                 ORDER BY j.id FOR UPDATE OF j SKIP LOCKED),
             renewed AS (
                 UPDATE jobs SET lease_until = now() + make_interval(secs => $3) FROM held WHERE jobs.id = held.id)
             SELECT a.id, j.id IS NOT NULL AS mine, j.cancel_requested_at IS NOT NULL AS called_off
             FROM asked a LEFT JOIN jobs j
                 ON j.id = a.id AND j.fence = a.fence AND j.worker_id = a.worker_id AND j.state IS NOT DISTINCT FROM 'running'",
            [ids.into(), fences.into(), lease.as_secs_f64().into(), workers.into()],
        ))
        .await?;
    for attempt in attempts {
        let Some(beat) = beats.iter().find(|beat| beat.id == attempt.job.id.uuid()) else { continue };
        if beat.called_off {
            attempt.called_off.cancel();
        }
        if !beat.mine {
            attempt.lost.cancel();
        }
    }
    Ok(())
}

impl Running {
    /// Writes what jobs said about themselves since the last time. A run that lost its lease writes nothing here either;
    /// what cannot be written now is kept for the next time.
    async fn write_notes(&self, engine: &Engine, attempts: &[Arc<Attempt>]) -> Result<()> {
        let _writing = self.writing.lock().await;
        let said: Vec<(&Arc<Attempt>, Notes)> = attempts
            .iter()
            .map(|attempt| (attempt, attempt.take_notes()))
            .filter(|(_, notes)| notes.progress.is_some() || !notes.log.is_empty())
            .collect();
        if said.is_empty() {
            return Ok(());
        }
        // The limit is on the round trip alone: ended from outside, this would lose what it took.
        let written = timeout(NOTES_LIMIT, store_notes(engine, &said)).await.unwrap_or_else(|_| {
            tracing::warn!("the database does not answer; what jobs say is written later");
            Ok(Vec::new())
        });
        let kept = written.as_deref().unwrap_or_default();
        let jobs: Vec<JobId> = kept.iter().map(|row| row.id).collect();
        for (attempt, notes) in said {
            if !jobs.contains(&attempt.job.id) {
                attempt.put_back(notes);
            }
        }
        engine.announce(&jobs);
        written.map(|_| ())
    }
}

#[derive(FromQueryResult)]
struct Kept {
    id: JobId,
}

/// Writes notes under the fences of their runs and says which. The rows are locked first, so that a job's events are
/// committed in the order of their ids.
async fn store_notes(engine: &Engine, said: &[(&Arc<Attempt>, Notes)]) -> Result<Vec<Kept>> {
    let row = |(attempt, notes): &(&Arc<Attempt>, Notes)| json!({ "id": attempt.job.id.uuid(), "fence": attempt.job.fence, "worker_id": attempt.job.worker_id.uuid(), "progress": notes.progress });
    let tx = engine.db().system().await?;
    let kept: Vec<Kept> = tx
        .all(sql(
            "UPDATE jobs SET progress = coalesce(said.progress, jobs.progress) FROM (
                 SELECT j.id, nullif(s.progress, 'null') AS progress
                 FROM jsonb_to_recordset($1) AS s(id uuid, fence bigint, worker_id uuid, progress jsonb)
                 JOIN jobs j ON j.id = s.id AND j.fence = s.fence AND j.worker_id = s.worker_id AND j.state IS NOT DISTINCT FROM 'running'
                 ORDER BY j.id FOR UPDATE OF j SKIP LOCKED) AS said
             WHERE jobs.id = said.id RETURNING jobs.id",
            [storable(Json::Array(said.iter().map(row).collect())).into()],
        ))
        .await?;
    let mut happened = Vec::new();
    for (attempt, notes) in said.iter().filter(|(attempt, _)| kept.iter().any(|row| row.id == attempt.job.id)) {
        let job = &attempt.job;
        let event = |name, data| Event::now(job.org_id, job.id, name, job.attempt, data);
        happened.extend(notes.log.iter().map(|line| event("log", line.clone())));
        happened.extend(notes.progress.iter().map(|progress| event("progress", progress.clone())));
    }
    events::write(&tx, &happened).await?;
    tx.commit().await?;
    Ok(kept)
}
