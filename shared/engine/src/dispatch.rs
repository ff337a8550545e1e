//! Due rows' ids go to the delivery: a bounded window of them, never the backlog.
//!
//! Any number of dispatchers may run; `SKIP LOCKED` keeps them out of each other's way. The scheduler's *leads*: it
//! looks by itself, for what became due or was left behind. Those of processes that submit jobs *follow*: they look
//! when nudged, so that a job that meets an idle system is on its way one round trip after its commit.

use std::time::Duration;

use gristmill_core::ids::JobId;
use gristmill_store::{
    Result,
    db::{SystemTx, Tx as _, sql},
};
use sea_orm::FromQueryResult;
use tokio_util::sync::CancellationToken;

use crate::{Engine, delivery::Message, queue::Queue, state::State};

/// Whether a dispatcher looks by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At least once a second, and as fast as the window empties while there is a backlog.
    Lead,
    /// When nudged.
    Follow,
}

/// The longest a leading dispatcher sleeps: how late a job can be that no nudge told of.
const IDLE: Duration = Duration::from_secs(1);
/// While there is more than the window takes.
const BUSY: Duration = Duration::from_millis(5);
/// How many scheduled jobs become due in one statement.
const DUE_BATCH: i64 = 1_000;

/// What one look came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dispatched {
    /// Jobs whose time had come.
    pub due: usize,
    /// Messages handed to the delivery.
    pub sent: usize,
    /// True where more waits than was sent.
    pub more: bool,
}

#[derive(Debug, FromQueryResult)]
struct Picked {
    id: JobId,
    queue: String,
    kind: String,
    priority: i16,
    dispatch_seq: i32,
    due_ms: i64,
}

impl Engine {
    /// Dispatches until `stop`.
    pub async fn run_dispatcher(&self, pace: Pace, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let wait = match self.dispatch().await {
                Ok(Dispatched { more: true, .. }) => BUSY,
                Ok(_) if pace == Pace::Lead => self.until_next_due().await.unwrap_or(IDLE).min(IDLE),
                Ok(_) => Duration::MAX,
                Err(error) => {
                    tracing::warn!(error = %error.0, "jobs cannot be dispatched; trying again");
                    IDLE
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Looks once: makes due what is due, and fills the delivery's windows.
    ///
    /// # Errors
    /// When the database or the delivery cannot be asked. Nothing is lost by it: what was marked and not sent is found
    /// by the sweeper.
    pub async fn dispatch(&self) -> std::result::Result<Dispatched, DispatchError> {
        let waiting = self.delivery.waiting().await.map_err(|error| DispatchError(error.into()))?;
        let room = waiting.map(|count| self.window.saturating_sub(count));
        let tx = self.db.system().await.map_err(|error| DispatchError(error.into()))?;
        let (due, picked) = async {
            let due = make_due(&tx).await?;
            let picked = pick(&tx, room).await?;
            tx.commit().await?;
            Result::Ok((due, picked))
        }
        .await
        .map_err(|error| DispatchError(error.into()))?;
        let sent = picked.len();
        let mut more = due == usize::try_from(DUE_BATCH).unwrap_or(usize::MAX);
        for (queue, room) in Queue::ALL.into_iter().zip(room) {
            let messages: Vec<Message> =
                picked.iter().filter(|picked| picked.queue == queue.name()).map(Picked::message).collect();
            more |= room > 0 && messages.len() == room;
            self.delivery.push(queue, &messages).await.map_err(|error| DispatchError(error.into()))?;
        }
        Ok(Dispatched { due, sent, more })
    }

    async fn until_next_due(&self) -> Option<Duration> {
        #[derive(FromQueryResult)]
        struct Row {
            seconds: Option<f64>,
        }
        let tx = self.db.system().await.ok()?;
        let statement = "SELECT extract(epoch FROM min(run_at) - clock_timestamp())::float8 AS seconds
            FROM jobs WHERE state = 'scheduled'";
        let row = tx.one::<Row>(sql(statement, [])).await.ok()??;
        tx.commit().await.ok()?;
        row.seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(IDLE))
    }
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DispatchError(Box<dyn std::error::Error + Send + Sync>);

impl Picked {
    fn message(&self) -> Message {
        let Self { id, queue: _, kind, priority, dispatch_seq, due_ms } = self;
        Message { priority: *priority, due_ms: *due_ms, job_id: *id, dispatch_seq: *dispatch_seq, kind: kind.clone() }
    }
}

async fn make_due(tx: &SystemTx) -> Result<usize> {
    let due = tx
        .execute(sql(
            "UPDATE jobs SET state = $1, dispatched_at = NULL WHERE id IN (
                 SELECT id FROM jobs WHERE state = 'scheduled' AND run_at <= now()
                 ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            [State::Queued.name().into(), DUE_BATCH.into()],
        ))
        .await?;
    Ok(usize::try_from(due).unwrap_or(usize::MAX))
}

/// Marks up to `room` jobs per queue as dispatched, the most urgent and oldest first, and returns them.
async fn pick(tx: &SystemTx, room: [usize; 4]) -> Result<Vec<Picked>> {
    let queues: Vec<String> = Queue::ALL.iter().map(|queue| queue.name().to_owned()).collect();
    let room: Vec<i64> = room.iter().map(|room| i64::try_from(*room).unwrap_or(i64::MAX)).collect();
    tx.all(sql(
        "UPDATE jobs SET dispatched_at = now(), dispatch_seq = dispatch_seq + 1
         WHERE id IN (
             SELECT next.id FROM unnest($1::text[], $2::bigint[]) AS window_of(queue, room),
             LATERAL (SELECT id FROM jobs
                      WHERE jobs.queue = window_of.queue AND state = 'queued' AND dispatched_at IS NULL
                      ORDER BY priority, run_at, id LIMIT window_of.room FOR UPDATE SKIP LOCKED) AS next)
         RETURNING id, queue, kind, priority, dispatch_seq, (extract(epoch FROM run_at) * 1000)::bigint AS due_ms",
        [queues.into(), room.into()],
    ))
    .await
}
