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
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    Engine,
    delivery::Message,
    events::{self, Event},
    job::Failure,
    queue::Queue,
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
    /// Sweeps until `stop`. `lease` is what workers use: after an outage of the database they get a third of it to
    /// renew their leases before any counts as expired.
    pub async fn run_sweeper(&self, lease: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut patient_until, mut prune_at) = (Instant::now(), Instant::now());
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
        for queue in Queue::ALL {
            swept.undelivered += self.redispatch(queue, unclaimed).await?;
        }
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
        let mut undelivered = 0;
        for queue in Queue::ALL {
            undelivered += self.redispatch(queue, Duration::ZERO).await?;
        }
        Ok(Swept { expired, undelivered })
    }

    /// Lets jobs be dispatched anew whose message was sent `unclaimed` ago and is nowhere to be found.
    async fn redispatch(&self, queue: Queue, unclaimed: Duration) -> Result<usize> {
        let tx = self.db.system().await?;
        let sent = sent_before(&tx, queue, unclaimed).await?;
        tx.commit().await?;
        if sent.is_empty() {
            return Ok(0);
        }
        let held = match self.delivery.holds(queue, &sent).await {
            Ok(held) => held,
            Err(error) => {
                tracing::debug!(%error, queue.name = queue.name(), "the delivery cannot be asked what it holds");
                return Ok(0);
            }
        };
        let lost: Vec<&Message> = sent.iter().zip(held).filter(|(_, held)| !held).map(|(message, _)| message).collect();
        if lost.is_empty() {
            return Ok(0);
        }
        let tx = self.db.system().await?;
        let ids: Vec<uuid::Uuid> = lost.iter().map(|message| message.job_id.uuid()).collect();
        let seqs: Vec<i32> = lost.iter().map(|message| message.dispatch_seq).collect();
        // A row that a worker is claiming this moment is locked, and skipped.
        let again = tx
            .execute(sql(
                "UPDATE jobs SET dispatched_at = NULL FROM (
                     SELECT j.id FROM unnest($1::uuid[], $2::int[]) AS l(id, seq) JOIN jobs j ON j.id = l.id
                     WHERE j.state = 'queued' AND j.dispatch_seq = l.seq AND j.dispatched_at IS NOT NULL
                     ORDER BY j.id FOR UPDATE OF j SKIP LOCKED) AS lost
                 WHERE jobs.id = lost.id",
                [ids.into(), seqs.into()],
            ))
            .await?;
        tx.commit().await?;
        Ok(usize::try_from(again).unwrap_or(usize::MAX))
    }

    async fn prune(&self) -> Result<()> {
        let tx = self.db.system().await?;
        let statement = "DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(hours => $1)";
        tx.execute(sql(statement, [idempotency::KEPT_HOURS.into()])).await?;
        tx.commit().await
    }
}

async fn sent_before(tx: &SystemTx, queue: Queue, unclaimed: Duration) -> Result<Vec<Message>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: JobId,
        kind: String,
        priority: i16,
        dispatch_seq: i32,
    }
    let rows: Vec<Row> = tx
        .all(sql(
            "SELECT id, kind, priority, dispatch_seq FROM jobs
             WHERE state = 'queued' AND dispatched_at <= now() - make_interval(secs => $1) AND queue = $2
             ORDER BY dispatched_at LIMIT $3",
            [unclaimed.as_secs_f64().into(), queue.name().into(), (BATCH * 4).into()],
        ))
        .await?;
    let message =
        |row: Row| Message { priority: row.priority, job_id: row.id, dispatch_seq: row.dispatch_seq, kind: row.kind };
    Ok(rows.into_iter().map(message).collect())
}

#[derive(FromQueryResult)]
struct Expired {
    id: JobId,
    org_id: OrgId,
    kind: String,
    attempt: i32,
    buried: bool,
}

/// Jobs whose lease ran out go back to their queue. The attempt counts, so a job that kills its process cannot do so
/// for ever: after the last one it is buried.
async fn expire_leases(tx: &SystemTx, condition: &str) -> Result<usize> {
    let expired: Vec<Expired> = tx
        .all(sql(
            &format!(
                "WITH dead AS MATERIALIZED (
                     SELECT id, attempt >= max_attempts AND cancel_requested_at IS NULL AS buried,
                            cancel_requested_at IS NOT NULL AS called_off
                     FROM jobs WHERE state = 'running' AND {condition} ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
                 UPDATE jobs SET dispatched_at = NULL, lease_until = NULL,
                     state = CASE WHEN called_off THEN 'cancelled' WHEN buried THEN 'failed' ELSE 'queued' END,
                     finished_at = CASE WHEN called_off OR buried THEN now() END
                 FROM dead WHERE jobs.id = dead.id
                 RETURNING jobs.id, org_id, kind, attempt, buried"
            ),
            [BATCH.into()],
        ))
        .await?;
    let message = "The worker died while it ran the job, at every attempt.";
    let failure = Failure::new("worker-died", message);
    let mut happened = Vec::new();
    for job in &expired {
        let event = |name, data| Event { org: job.org_id, job: job.id, name, attempt: job.attempt, data };
        happened.push(event("worker_died", json!({})));
        if job.buried {
            let error = failure.to_json(&job.kind, job.attempt);
            let statement = "UPDATE jobs SET error = $2 WHERE id = $1";
            tx.execute(sql(statement, [job.id.into(), error.clone().into()])).await?;
            happened.push(event("failed", json!({ "error": error })));
        }
    }
    events::write(tx, &happened).await?;
    Ok(expired.len())
}
