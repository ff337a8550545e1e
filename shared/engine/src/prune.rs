//! Nothing grows for ever: jobs that are over go after a while, by state and age, in small batches.

use std::time::Duration;

use gristmill_store::{
    Result,
    db::{Tx as _, sql},
    idempotency,
};
use sea_orm::FromQueryResult;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Engine;

/// How long jobs that are over are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Those that succeeded.
    pub succeeded: Duration,
    /// Those that failed.
    pub failed: Duration,
    /// Those that were cancelled.
    pub cancelled: Duration,
}

/// Between two passes.
const EVERY: Duration = Duration::from_mins(10);
/// Rows looked at in one statement.
const PAGE: i64 = 2_000;
/// Between two statements, so that whoever has work to do comes in between.
const BREATH: Duration = Duration::from_millis(20);
/// How long counts per minute and finished batches are kept.
const COUNTS_DAYS: i32 = 90;

impl Engine {
    /// Prunes until `stop`.
    pub async fn run_pruner(&self, keep: Retention, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                pruned = self.prune(keep) => match pruned {
                    Ok(0) => {}
                    Ok(jobs) => tracing::info!(jobs, "jobs that were over long enough were removed"),
                    Err(error) => tracing::warn!(%error, "old rows cannot be pruned; trying again later"),
                },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Removes everything that was kept long enough, and says how many jobs that were.
    ///
    /// # Errors
    /// When the database cannot be asked; what was removed so far stays so.
    pub async fn prune(&self, keep: Retention) -> Result<usize> {
        let (mut pruned, mut after) = (0, Uuid::nil());
        while let Some(last) = self.last_of_page(keep, after).await? {
            pruned += self.prune_page(keep, after, last).await?;
            after = last;
            tokio::time::sleep(BREATH).await;
        }
        let now = self.db.now();
        let statement = "DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(hours => $1)";
        now.execute(sql(statement, [idempotency::KEPT_HOURS.into()])).await?;
        let statement = "DELETE FROM job_counts WHERE minute < now() - make_interval(days => $1)";
        now.execute(sql(statement, [COUNTS_DAYS.into()])).await?;
        let statement = "DELETE FROM job_batches WHERE finished_at < now() - make_interval(days => $1)";
        now.execute(sql(statement, [COUNTS_DAYS.into()])).await?;
        Ok(pruned)
    }

    /// The last of the next jobs, in the order of their ids, that are old enough to be looked at. Ids carry the time of
    /// their making, which bounds the walk; whether a job goes is decided by when it ended.
    async fn last_of_page(&self, keep: Retention, after: Uuid) -> Result<Option<Uuid>> {
        #[derive(FromQueryResult)]
        struct Row {
            id: Uuid,
        }
        let youngest = keep.succeeded.min(keep.failed).min(keep.cancelled);
        let statement = "SELECT id FROM (
                SELECT id FROM jobs WHERE id > $1 AND id < (lpad(to_hex((extract(epoch FROM now()
                    - make_interval(secs => $2)) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
                ORDER BY id LIMIT $3) AS page
            ORDER BY id DESC LIMIT 1";
        let values = [after.into(), youngest.as_secs_f64().into(), PAGE.into()];
        Ok(self.db.now().one::<Row>(sql(statement, values)).await?.map(|row| row.id))
    }

    async fn prune_page(&self, keep: Retention, after: Uuid, last: Uuid) -> Result<usize> {
        #[derive(FromQueryResult)]
        struct Row {
            id: Uuid,
        }
        let tx = self.db.system().await?;
        let gone: Vec<Row> = tx
            .all(sql(
                "DELETE FROM jobs WHERE id IN (
                     SELECT id FROM jobs WHERE id > $1 AND id <= $2 AND (
                         state = 'succeeded' AND finished_at < now() - make_interval(secs => $3)
                         OR state = 'failed' AND finished_at < now() - make_interval(secs => $4)
                         OR state = 'cancelled' AND finished_at < now() - make_interval(secs => $5))
                     ORDER BY id FOR UPDATE SKIP LOCKED)
                 RETURNING id",
                [
                    after.into(),
                    last.into(),
                    keep.succeeded.as_secs_f64().into(),
                    keep.failed.as_secs_f64().into(),
                    keep.cancelled.as_secs_f64().into(),
                ],
            ))
            .await?;
        let ids: Vec<Uuid> = gone.iter().map(|row| row.id).collect();
        if !ids.is_empty() {
            for statement in [
                "DELETE FROM job_events WHERE job_id = ANY($1)",
                "DELETE FROM job_steps WHERE job_id = ANY($1)",
                "DELETE FROM job_edges WHERE job_id = ANY($1)",
            ] {
                tx.execute(sql(statement, [ids.clone().into()])).await?;
            }
        }
        tx.commit().await?;
        Ok(ids.len())
    }
}
