//! What a dead process, a wiped Redis or a lost message left behind is picked up.
//!
//! Time is the database's clock, so a machine whose clock is wrong changes nothing.

use std::time::Duration;

use gristmill_core::ids::{JobId, OrgId};
use gristmill_store::{
    Result,
    db::{SystemTx, Tx as _, sql},
    idempotency,
};
use sea_orm::FromQueryResult;
use serde_json::{Value as Json, json};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    Engine,
    delivery::Message,
    events::{self, Event},
    job::Failure,
    queue::Queue,
    state::State,
};

/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(1);
/// A message that was sent so long ago, and neither waits in the delivery nor was claimed, is lost.
const UNCLAIMED: Duration = Duration::from_secs(5);
/// Rows per statement.
const BATCH: i64 = 1_000;
/// Between two prunings of what is kept for a time only.
const PRUNE_EVERY: Duration = Duration::from_mins(10);

/// What one sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Jobs whose worker gave no sign of life.
    pub expired: usize,
    /// Jobs whose message was lost.
    pub undelivered: usize,
}

impl Engine {
    /// Sweeps until `stop`. `lease` is what workers use: at first, and after an outage of the database, they get a third
    /// of it to renew their leases before any counts as expired.
    pub async fn run_sweeper(&self, lease: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was expired when this process came up may only have been cut off with it: workers get a beat's time.
        let (mut patient_until, mut prune_at) = (Instant::now() + lease / 3 + EVERY, Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if Instant::now() >= prune_at {
                prune_at = Instant::now() + PRUNE_EVERY;
                if let Err(error) = self.prune().await {
                    tracing::warn!(%error, "old rows cannot be pruned; trying again later");
                }
            }
            let expire = Instant::now() >= patient_until;
            match self.sweep(expire, UNCLAIMED).await {
                Ok(Swept { expired: 0, undelivered: 0 }) => {}
                Ok(Swept { expired, undelivered }) => {
                    tracing::info!(expired, undelivered, "jobs were left behind; they run again");
                    self.nudge();
                }
                Err(error) => {
                    tracing::warn!(%error, "left-behind jobs cannot be looked for; trying again");
                    patient_until = Instant::now() + lease / 3 + EVERY;
                }
            }
        }
    }

    /// Sweeps once. `expire` says whether expired leases are looked for; a message counts as lost after `unclaimed`.
    ///
    /// # Errors
    /// When the database cannot be asked. A delivery that cannot be asked is asked again at the next sweep.
    pub async fn sweep(&self, expire: bool, unclaimed: Duration) -> Result<Swept> {
        let mut swept = Swept::default();
        if expire {
            let tx = self.db.system().await?;
            swept.expired = expire_leases(&tx, "lease_until < now()").await?;
            tx.commit().await?;
        }
        swept.undelivered = self.redispatch(unclaimed).await?;
        Ok(swept)
    }

    /// Takes every lease away and every message for lost. Only for a process that knows that it is alone, as the one
    /// that holds a data folder's lock does when it starts: whoever held a lease is dead.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn sweep_all(&self) -> Result<Swept> {
        let tx = self.db.system().await?;
        let expired = expire_leases(&tx, "true").await?;
        tx.commit().await?;
        let undelivered = self.redispatch(Duration::ZERO).await?;
        Ok(Swept { expired, undelivered })
    }

    /// Lets jobs be dispatched anew whose message was sent `unclaimed` ago and is nowhere to be found.
    async fn redispatch(&self, unclaimed: Duration) -> Result<usize> {
        // Every window, with room for what several dispatchers put into it at once.
        let most = i64::try_from(self.window.saturating_mul(Queue::ALL.len() * 4)).unwrap_or(i64::MAX);
        let tx = self.db.system().await?;
        let sent = sent_before(&tx, unclaimed, most).await?;
        tx.commit().await?;
        let mut lost = Vec::new();
        for queue in Queue::ALL {
            let messages: Vec<Message> =
                sent.iter().filter(|row| row.queue == queue.name()).map(Sent::message).collect();
            if messages.is_empty() {
                continue;
            }
            match self.delivery.holds(queue, &messages).await {
                Ok(held) => {
                    lost.extend(messages.into_iter().zip(held).filter(|(_, held)| !held).map(|(message, _)| message))
                }
                Err(error) => {
                    tracing::debug!(%error, queue.name = queue.name(), "the delivery cannot be asked what it holds");
                }
            }
        }
        if lost.is_empty() {
            return Ok(0);
        }
        let tx = self.db.system().await?;
        let again = unmark(&tx, &lost).await?;
        tx.commit().await?;
        Ok(again)
    }

    async fn prune(&self) -> Result<()> {
        let tx = self.db.system().await?;
        let statement = "DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(hours => $1)";
        tx.execute(sql(statement, [idempotency::KEPT_HOURS.into()])).await?;
        tx.commit().await
    }
}

#[derive(FromQueryResult)]
struct Sent {
    id: JobId,
    queue: String,
    kind: String,
    priority: i16,
    dispatch_seq: i32,
    due_ms: i64,
}

impl Sent {
    fn message(&self) -> Message {
        let Self { id, queue: _, kind, priority, dispatch_seq, due_ms } = self;
        Message { priority: *priority, due_ms: *due_ms, job_id: *id, dispatch_seq: *dispatch_seq, kind: kind.clone() }
    }
}

async fn sent_before(tx: &SystemTx, unclaimed: Duration, most: i64) -> Result<Vec<Sent>> {
    tx.all(sql(
        "SELECT id, queue, kind, priority, dispatch_seq, (extract(epoch FROM run_at) * 1000)::bigint AS due_ms FROM jobs
         WHERE state = 'queued' AND dispatched_at <= now() - make_interval(secs => $1)
         ORDER BY dispatched_at LIMIT $2",
        [unclaimed.as_secs_f64().into(), most.into()],
    ))
    .await
}

/// Takes back that `lost` were dispatched. A row that a worker is claiming this moment is locked, and skipped.
async fn unmark(tx: &SystemTx, lost: &[Message]) -> Result<usize> {
    let ids: Vec<uuid::Uuid> = lost.iter().map(|message| message.job_id.uuid()).collect();
    let seqs: Vec<i32> = lost.iter().map(|message| message.dispatch_seq).collect();
    let unmarked = tx
        .execute(sql(
            "UPDATE jobs SET dispatched_at = NULL FROM (
                 SELECT j.id FROM unnest($1::uuid[], $2::int[]) AS l(id, seq) JOIN jobs j ON j.id = l.id
                 WHERE j.state = 'queued' AND j.dispatch_seq = l.seq AND j.dispatched_at IS NOT NULL
                 ORDER BY j.id FOR UPDATE OF j SKIP LOCKED) AS lost
             WHERE jobs.id = lost.id",
            [ids.into(), seqs.into()],
        ))
        .await?;
    Ok(usize::try_from(unmarked).unwrap_or(usize::MAX))
}

#[derive(FromQueryResult)]
struct Orphan {
    id: JobId,
    org_id: OrgId,
    kind: String,
    attempt: i32,
    last: bool,
    called_off: bool,
}

impl Orphan {
    fn state(&self) -> State {
        match (self.called_off, self.last) {
            (true, _) => State::Cancelled,
            (false, true) => State::Failed,
            (false, false) => State::Queued,
        }
    }

    fn error(&self) -> Json {
        let failure = Failure::new("worker-died", "The worker died while it ran the job, and no attempt is left.");
        failure.to_json(&self.kind, self.attempt)
    }

    fn events(&self) -> Vec<Event> {
        let event = |name, data| Event { org: self.org_id, job: self.id, name, attempt: self.attempt, data };
        let mut events = vec![event("worker_died", json!({}))];
        match self.state() {
            State::Failed => events.push(event("failed", json!({ "error": self.error() }))),
            State::Cancelled => events.push(event("cancelled", json!({}))),
            _ => {}
        }
        events
    }
}

/// Jobs whose lease ran out go back to their queue. The attempt counts, so a job that kills its process cannot do so
/// for ever: after the last one it is buried.
async fn expire_leases(tx: &SystemTx, condition: &str) -> Result<usize> {
    let statement = format!(
        "SELECT id, org_id, kind, attempt, attempt >= max_attempts AS last, cancel_requested_at IS NOT NULL AS called_off
         FROM jobs WHERE state = 'running' AND {condition} ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED"
    );
    let orphans: Vec<Orphan> = tx.all(sql(&statement, [BATCH.into()])).await?;
    if orphans.is_empty() {
        return Ok(0);
    }
    let row = |orphan: &Orphan| {
        let error = if orphan.state() == State::Failed { orphan.error() } else { Json::Null };
        json!({ "id": orphan.id.uuid(), "state": orphan.state().name(), "over": orphan.state().is_over(), "error": error })
    };
    tx.execute(sql(
        "UPDATE jobs SET state = o.state, error = coalesce(nullif(o.error, 'null'), jobs.error), dispatched_at = NULL,
             lease_until = NULL, finished_at = CASE WHEN over THEN now() END
         FROM jsonb_to_recordset($1) AS o(id uuid, state text, over boolean, error jsonb) WHERE jobs.id = o.id",
        [Json::Array(orphans.iter().map(row).collect()).into()],
    ))
    .await?;
    let happened: Vec<Event> = orphans.iter().flat_map(Orphan::events).collect();
    events::write(tx, &happened).await?;
    Ok(orphans.len())
}
