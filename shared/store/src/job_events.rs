//! What happened to a job, in order.

use chrono::{DateTime, Utc};
use gristmill_core::ids::JobId;
use sea_orm::FromQueryResult;
use serde_json::Value as Json;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
};

/// One thing that happened.
#[derive(Debug, Clone, FromQueryResult)]
pub struct JobEvent {
    /// Its place in the order of events.
    pub id: i64,
    /// The job.
    pub job_id: JobId,
    /// When.
    pub at: DateTime<Utc>,
    /// What: `created`, `started`, `progress`, `log`, `retry_scheduled`, `succeeded` ….
    pub r#type: String,
    /// During which attempt; 0 before the first.
    pub attempt: i32,
    /// The particulars.
    pub data: Json,
}

/// The job's events after the one with id `after` (0 for all), oldest first, at most `limit`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, job: JobId, after: i64, limit: u64) -> Result<Vec<JobEvent>> {
    tx.all(sql(
        "SELECT id, job_id, at, type, attempt, data FROM job_events
         WHERE job_id = $1 AND org_id = $2 AND id > $3 ORDER BY id LIMIT $4",
        [job.into(), tx.org().into(), after.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()],
    ))
    .await
}
