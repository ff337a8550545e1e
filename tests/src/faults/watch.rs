//! How long jobs waited that could have moved.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use gristmill_engine::Queue;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tokio_util::sync::CancellationToken;

use super::town::Town;

/// Between two looks, which is how exact the figures are.
const LOOK: Duration = Duration::from_millis(250);
/// A look that takes longer finds Postgres away.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The longest time in which work waited in a queue, everything needed was there, and no job of the queue wrote.
    pub longest_stall: Duration,
    /// How long everything needed was there.
    pub able: Duration,
    /// In which queue, and how far into the run it ended.
    pub where_and_when: Option<(&'static str, Duration)>,
    /// How often all queues with work were seen to move again after a store was away.
    pub recoveries: usize,
    /// The longest that took.
    pub longest_recovery: Duration,
}

/// One queue, as it was last seen.
#[derive(Debug, Clone, Copy)]
struct Lane {
    written: i64,
    moved: Instant,
    /// Since when work has waited in it.
    waiting: Option<Instant>,
}

/// A recovery under way: since when, and which queues have moved since.
#[derive(Debug)]
struct Recovery {
    since: Instant,
    moved: [bool; 4],
}

/// Looks until `stop`.
pub async fn watch(town: &Town, stop: CancellationToken) -> Seen {
    let began = Instant::now();
    let mut seen = Seen::default();
    let mut lanes = [Lane { written: 0, moved: began, waiting: None }; 4];
    let mut recovery: Option<Recovery> = None;
    let mut returns = town.standing.returns().0;
    let (mut connection, mut looked_at) = (None, began);
    while !stop.is_cancelled() {
        tokio::time::sleep(LOOK).await;
        if town.standing.able_since().is_some() {
            seen.able += looked_at.elapsed();
        }
        looked_at = Instant::now();
        let (now_returned, are_there) = town.standing.returns();
        if now_returned != returns || !are_there {
            returns = now_returned;
            recovery = are_there.then(|| Recovery { since: Instant::now(), moved: [false; 4] });
        }
        let Ok(Ok(looked)) = tokio::time::timeout(PATIENCE, look(town, &mut connection)).await else {
            connection = None;
            continue;
        };
        let now = Instant::now();
        for (index, (lane, (waiting, written))) in lanes.iter_mut().zip(looked).enumerate() {
            let has_moved = written > lane.written;
            if has_moved || waiting == 0 {
                (lane.written, lane.moved, lane.waiting) = (written, now, None);
                recovery.iter_mut().for_each(|recovery| recovery.moved[index] = true);
            }
            lane.waiting = if waiting == 0 { None } else { lane.waiting.or(Some(now)) };
            if let (Some(able), Some(waiting)) = (town.standing.able_since(), lane.waiting) {
                let stall = now - able.max(waiting).max(lane.moved);
                if stall > seen.longest_stall {
                    seen.longest_stall = stall;
                    seen.where_and_when = Some((Queue::ALL[index].name(), began.elapsed()));
                }
            }
        }
        if let Some(over) = recovery.take_if(|recovery| recovery.moved == [true; 4]) {
            seen.recoveries += 1;
            seen.longest_recovery = seen.longest_recovery.max(now - over.since);
        }
    }
    seen
}

/// Jobs that wait, and the last line of the ledger, per queue in the order of [`Queue::ALL`].
async fn look(town: &Town, connection: &mut Option<PgConnection>) -> sqlx::Result<[(i64, i64); 4]> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(&town.database_url().await).await?),
    };
    let waiting = "SELECT queue, count(*) AS waiting FROM jobs WHERE state = 'queued' GROUP BY queue";
    let waiting: HashMap<String, i64> =
        connection.fetch_all(waiting).await?.iter().map(|row| (row.get("queue"), row.get("waiting"))).collect();
    let mut looked = [(0, 0); 4];
    for (queue, place) in Queue::ALL.iter().zip(&mut looked) {
        let last = "SELECT coalesce(max(seq), 0) FROM ledger WHERE queue = $1";
        let written = sqlx::query_scalar(last).bind(queue.name()).fetch_one(&mut *connection).await?;
        *place = (waiting.get(queue.name()).copied().unwrap_or(0), written);
    }
    Ok(looked)
}

/// A connection that sees the rows of every organization.
///
/// # Errors
/// When Postgres is away.
pub async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute("SET gristmill.system = 'on'").await?;
    Ok(connection)
}
