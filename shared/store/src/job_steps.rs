//! What jobs did once and need not do again, for reading. The engine writes it.

use chrono::{DateTime, Utc};
use gristmill_core::ids::JobId;
use sea_orm::FromQueryResult;
use serde_json::Value as Json;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
};

/// A step that a job did.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Step {
    /// Its name, which no other step of the job has.
    pub name: String,
    /// In which attempt it was done.
    pub attempt: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was kept.
    pub finished_at: DateTime<Utc>,
    /// What it returned; null where that is over 64 kB.
    pub output: Option<Json>,
}

/// The steps of `job` that were kept, in the order in which they were, at most `most` after the first `skip`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, job: JobId, skip: i64, most: i64) -> Result<Vec<Step>> {
    let statement = "
        SELECT name, attempt, started_at, finished_at,
               CASE WHEN pg_column_size(output) > 65536 THEN NULL ELSE output END AS output
        FROM job_steps WHERE job_id = $1 AND org_id = $2 ORDER BY finished_at, name OFFSET $3 LIMIT $4";
    tx.all(sql(statement, [job.into(), tx.org().into(), skip.into(), most.into()])).await
}
