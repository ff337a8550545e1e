//! What a dead process, a wiped Redis or a lost message left behind is picked up.
//!
//! Time is the database's clock, so a machine whose clock is wrong changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gristmill_core::ids::{JobId, OrgId, WorkerId};
use gristmill_store::{
    Result,
    db::{SystemTx, Tx as _, sql},
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
    window,
};

/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(1);
/// A message that was sent so long ago, and neither waits in the delivery nor was claimed, is lost.
const UNCLAIMED: Duration = Duration::from_secs(5);
/// Rows per statement.
const BATCH: i64 = 1_000;

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
        let mut patient_until = Instant::now() + lease / 3 + EVERY;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
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
            let expired = expire_leases(&tx, "lease_until < now()").await?;
            tx.commit().await?;
            swept.expired = self.count_orphans(&expired);
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
        Ok(Swept { expired: self.count_orphans(&expired), undelivered })
    }

    fn count_orphans(&self, orphans: &[Orphan]) -> usize {
        for orphan in orphans {
            self.counts.over(orphan.org_id, &orphan.queue, &orphan.kind, orphan.state());
        }
        orphans.len()
    }

    /// Lets jobs be dispatched anew whose message was sent `unclaimed` ago and is nowhere to be found.
    async fn redispatch(&self, unclaimed: Duration) -> Result<usize> {
        let sent = window::sent_before(&self.db.now(), unclaimed.as_secs_f64()).await?;
        let mut lost = Vec::new();
        for queue in Queue::ALL {
            let messages: Vec<Message> =
                sent.iter().filter(|(of, _)| *of == queue).map(|(_, message)| message.clone()).collect();
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
        if lost.is_empty() { Ok(0) } else { window::free(&self.db.now(), &lost).await }
    }
}

#[derive(FromQueryResult)]
struct Orphan {
    id: JobId,
    org_id: OrgId,
    queue: String,
    kind: String,
    attempt: i32,
    worker_id: WorkerId,
    started_at: DateTime<Utc>,
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
        let event = |name, data| Event::now(self.org_id, self.id, name, self.attempt, data);
        let worker = self.worker_id.to_string();
        let mut events = vec![
            Event::started(self.org_id, self.id, self.attempt, &worker, self.started_at),
            event("worker_died", json!({})),
        ];
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
async fn expire_leases(tx: &SystemTx, condition: &str) -> Result<Vec<Orphan>> {
    let statement = format!(
        "SELECT id, org_id, queue, kind, attempt, worker_id, started_at, attempt >= max_attempts AS last, cancel_requested_at IS NOT NULL AS called_off
         FROM jobs WHERE state = 'running' AND {condition} ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED"
    );
    let orphans: Vec<Orphan> = tx.all(sql(&statement, [BATCH.into()])).await?;
    if orphans.is_empty() {
        return Ok(orphans);
    }
    let row = |orphan: &Orphan| {
        let error = if orphan.state() == State::Failed { orphan.error() } else { Json::Null };
        json!({ "id": orphan.id.uuid(), "state": orphan.state().name(), "over": orphan.state().is_over(), "error": error })
    };
    tx.execute(sql(
        "UPDATE jobs SET state = o.state, error = coalesce(nullif(o.error, 'null'), jobs.error), lease_until = NULL,
             finished_at = CASE WHEN over THEN clock_timestamp() END
         FROM jsonb_to_recordset($1) AS o(id uuid, state text, over boolean, error jsonb) WHERE jobs.id = o.id",
        [Json::Array(orphans.iter().map(row).collect()).into()],
    ))
    .await?;
    let happened: Vec<Event> = orphans.iter().flat_map(Orphan::events).collect();
    events::write(tx, &happened).await?;
    Ok(orphans)
}
