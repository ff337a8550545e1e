//! Jobs that were handed in together, counted as they end.

use chrono::{DateTime, Utc};
use gristmill_core::ids::{BatchId, JobId, OrgId};
use sea_orm::FromQueryResult;
use serde_json::Value as Json;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
    page::Page,
};

/// Jobs that were handed in together.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Batch {
    /// Its id.
    pub id: BatchId,
    /// Whose it is.
    pub org_id: OrgId,
    /// How many new jobs it has.
    pub total: i32,
    /// How many of them succeeded.
    pub succeeded: i32,
    /// How many failed.
    pub failed: i32,
    /// How many were cancelled.
    pub cancelled: i32,
    /// The job that was handed in when all were over.
    pub on_complete_job: Option<JobId>,
    /// When it was handed in.
    pub created_at: DateTime<Utc>,
    /// When the last of its jobs ended.
    pub finished_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "id, org_id, total, succeeded, failed, cancelled, on_complete_job, created_at, finished_at";

/// Keeps a batch of `total` new jobs; `on_complete` describes the job that follows the last of them. One without a job
/// is over at once, and `on_complete_job` is what follows it.
///
/// # Errors
/// When the database cannot be asked.
pub async fn create(
    tx: &OrgTx,
    id: BatchId,
    total: i32,
    on_complete: Option<Json>,
    on_complete_job: Option<JobId>,
) -> Result<()> {
    tx.execute(sql(
        "INSERT INTO job_batches (id, org_id, total, on_complete, on_complete_job, finished_at)
         VALUES ($1, $2, $3, $4, $5, CASE WHEN $3 = 0 THEN now() END)",
        [id.into(), tx.org().into(), total.into(), on_complete.into(), on_complete_job.into()],
    ))
    .await?;
    Ok(())
}

/// The organization's batch `id`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn find(tx: &OrgTx, id: BatchId) -> Result<Option<Batch>> {
    let statement = format!("SELECT {COLUMNS} FROM job_batches WHERE id = $1 AND org_id = $2");
    tx.one(sql(&statement, [id.into(), tx.org().into()])).await
}

/// A page of the organization's batches, newest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, page: Page) -> Result<Vec<Batch>> {
    let statement =
        format!("SELECT {COLUMNS} FROM job_batches WHERE org_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    tx.all(sql(&statement, [tx.org().into(), page.before().into(), page.fetch().into()])).await
}
