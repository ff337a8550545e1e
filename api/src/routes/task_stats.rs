//! `/v1/task-stats`: how much there is to do, for whatever adds and removes workers.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use gristmill_engine::Queue;
use gristmill_store::queues;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::Shared,
    auth::{Caller, Read},
    problem::ApiError,
};

/// How much there is to do.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskStats {
    /// By the queue's name, each of them.
    pub queues: BTreeMap<String, QueueStats>,
}

/// How much there is to do in a queue, for everybody together.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct QueueStats {
    /// Jobs that may run, counted up to 100,000.
    pub queued: i64,
    /// True where there are more.
    pub queued_at_least: bool,
    /// Jobs that run.
    pub running: i64,
    /// How long the oldest that may run may run already, in seconds; 0 where none waits.
    pub oldest_age_s: f64,
    /// Living workers with slots for it.
    pub workers: i64,
    /// Their slots.
    pub slots: i64,
}

/// Tell how much there is to do per queue, for everybody together: numbers that tell nothing of any organization. An
/// autoscaler reads them by their place, such as `queues.ai.queued`.
#[utoipa::path(get, path = "/v1/task-stats", tag = "Flow",
    responses((status = 200, description = "The numbers", body = TaskStats)))]
pub(crate) async fn show(_: Caller<Read>, State(app): State<Shared>) -> Result<Json<TaskStats>, ApiError> {
    let tx = app.engine.db().system().await?;
    let depths = queues::depths(&tx, None, &Queue::ALL.map(Queue::name)).await?;
    let hands = queues::hands(&tx).await?;
    tx.commit().await?;
    let mut stats: BTreeMap<String, QueueStats> = BTreeMap::new();
    for depth in depths {
        let of = stats.entry(depth.queue).or_default();
        of.queued = depth.queued.min(queues::MOST);
        of.queued_at_least = depth.queued > queues::MOST;
        of.running = depth.running;
        of.oldest_age_s = depth.oldest_age_s.unwrap_or(0.0);
    }
    for hands in hands {
        if let Some(of) = stats.get_mut(&hands.queue) {
            (of.workers, of.slots) = (hands.workers, hands.slots);
        }
    }
    Ok(Json(TaskStats { queues: stats }))
}
