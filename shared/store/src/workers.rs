//! Worker processes and when they were last seen.

use gristmill_core::ids::WorkerId;
use sea_orm::FromQueryResult;
use serde_json::Value as Json;

use crate::{
    db::{SystemTx, Tx, sql},
    error::Result,
};

/// A worker counts as alive for so many seconds after it was last seen.
pub const ALIVE_S: i32 = 30;

/// What a worker says of itself.
#[derive(Debug, Clone)]
pub struct Worker {
    /// This incarnation's id.
    pub id: WorkerId,
    /// The machine's name.
    pub host: String,
    /// The process' id there.
    pub pid: i32,
    /// Gristmill's version.
    pub version: String,
    /// Queue to slots.
    pub slots: Json,
}

/// Notes that `worker` lives.
///
/// # Errors
/// When the database cannot be asked.
pub async fn seen(tx: &SystemTx, worker: &Worker) -> Result<()> {
    tx.execute(sql(
        "INSERT INTO workers (id, host, pid, version, slots) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET seen_at = now()",
        [
            worker.id.into(),
            worker.host.clone().into(),
            worker.pid.into(),
            worker.version.clone().into(),
            worker.slots.clone().into(),
        ],
    ))
    .await?;
    Ok(())
}

/// Notes that the worker ended in good order, and forgets those that have been silent for an hour.
///
/// # Errors
/// When the database cannot be asked.
pub async fn gone(tx: &SystemTx, id: WorkerId) -> Result<()> {
    tx.execute(sql("DELETE FROM workers WHERE id = $1 OR seen_at < now() - interval '1 hour'", [id.into()])).await?;
    Ok(())
}

/// How many living workers have slots for `queue`. Workers belong to the installation, so any transaction may ask.
///
/// # Errors
/// When the database cannot be asked.
pub async fn alive_for(tx: &impl Tx, queue: &str) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Row {
        alive: i64,
    }
    let statement = "SELECT count(*) AS alive FROM workers
        WHERE seen_at > now() - make_interval(secs => $1) AND coalesce((slots ->> $2)::int, 0) > 0";
    let values = [f64::from(ALIVE_S).into(), queue.into()];
    Ok(tx.one::<Row>(sql(statement, values)).await?.map_or(0, |row| row.alive))
}
