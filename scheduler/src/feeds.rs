//! Feeds whose time has come are polled.

use std::time::Duration;

use gristmill_engine::{Engine, NewJob, submit::SubmitError};
use gristmill_store::feeds::{self, Due};
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(5);
const BATCH: i64 = 500;

/// Submits polls until `stop`.
pub async fn run(engine: &Engine, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match poll_due(engine).await {
            Ok(0) => {}
            Ok(feeds) => {
                tracing::debug!(feeds, "feeds are due");
                engine.nudge();
            }
            Err(error) => tracing::warn!(%error, "due feeds cannot be polled; trying again"),
        }
    }
}

/// Submits a poll for every feed whose time has come, in the transaction that sets its next time, and says for how many.
///
/// # Errors
/// When the database cannot be asked.
pub async fn poll_due(engine: &Engine) -> Result<usize, SubmitError> {
    let tx = engine.db().system().await?;
    let due = feeds::take_due(&tx, BATCH).await?;
    for Due { id, org_id } in &due {
        engine.submit_for(&tx, *org_id, NewJob::new("feed.poll", json!({ "feed_id": id })).about(id)).await?;
    }
    tx.commit().await?;
    Ok(due.len())
}
