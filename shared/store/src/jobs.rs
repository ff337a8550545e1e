//! Jobs, for reading. The engine makes and moves them.

use chrono::{DateTime, Utc};
use gristmill_core::ids::{JobId, OrgId, WorkerId};
use sea_orm::{FromQueryResult, Value};
use serde_json::Value as Json;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
    page::Page,
};

/// A job as the database has it.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub org_id: OrgId,
    /// What it does.
    pub kind: String,
    /// Where it waits.
    pub queue: String,
    /// 0 (first) to 9.
    pub priority: i16,
    /// `scheduled`, `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// What its kind is given.
    pub args: Json,
    /// Its owner's labels.
    pub tags: Vec<String>,
    /// The id of what it is about.
    pub subject: Option<String>,
    /// How often it was started.
    pub attempt: i32,
    /// How often it may be started.
    pub max_attempts: i32,
    /// How long one attempt may take, in seconds.
    pub timeout_s: i32,
    /// Not before this time.
    pub run_at: DateTime<Utc>,
    /// When its id was last handed to the delivery.
    pub dispatched_at: Option<DateTime<Utc>>,
    /// Which worker runs it or ran it last.
    pub worker_id: Option<WorkerId>,
    /// When somebody asked to cancel it.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// `{done, total, stage}`, as it last said.
    pub progress: Option<Json>,
    /// What it returned.
    pub result: Option<Json>,
    /// Why it failed, last.
    pub error: Option<Json>,
    /// What it cost, in billionths of a dollar.
    pub cost_nusd: i64,
    /// The request that made it.
    pub request_id: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The columns of [`Job`].
pub const COLUMNS: &str = "id, org_id, kind, queue, priority, state, args, tags, subject, attempt, max_attempts, \
    timeout_s, run_at, dispatched_at, worker_id, cancel_requested_at, progress, result, error, cost_nusd, request_id, \
    created_at, started_at, finished_at";

impl Job {
    /// True once nothing more will happen to it by itself.
    pub fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "cancelled")
    }
}

/// Which jobs of a list are wanted; what is not set does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In this queue.
    pub queue: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// About this.
    pub subject: Option<String>,
    /// Made at this time or later.
    pub created_after: Option<DateTime<Utc>>,
    /// Made before this time.
    pub created_before: Option<DateTime<Utc>>,
}

/// The organization's job `id`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn find(tx: &OrgTx, id: JobId) -> Result<Option<Job>> {
    let statement = format!("SELECT {COLUMNS} FROM jobs WHERE id = $1 AND org_id = $2");
    tx.one(sql(&statement, [id.into(), tx.org().into()])).await
}

/// The columns of [`Job`] in a list. Arguments and results over 64 kB are left out there, so that a page of them does
/// not fill the memory of whoever reads it.
const LIST_COLUMNS: &str = "id, org_id, kind, queue, priority, state, tags, subject, attempt, max_attempts, timeout_s, \
    run_at, dispatched_at, worker_id, cancel_requested_at, progress, error, cost_nusd, request_id, created_at, \
    started_at, finished_at, CASE WHEN pg_column_size(args) > 65536 THEN 'null' ELSE args END AS args, \
    CASE WHEN pg_column_size(result) > 65536 THEN NULL ELSE result END AS result";

/// A page of the organization's jobs, newest first. Arguments and results over 64 kB are null there.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, filter: &Filter, page: Page) -> Result<Vec<Job>> {
    let mut conditions = String::from("org_id = $1 AND id < $2");
    let mut values: Vec<Value> = vec![tx.org().into(), page.before().into()];
    let mut narrow = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            conditions.push_str(&format!(" AND {}", condition.replace('?', &format!("${}", values.len()))));
        }
    };
    narrow("state = ?", filter.state.clone().map(Into::into));
    narrow("kind = ?", filter.kind.clone().map(Into::into));
    narrow("queue = ?", filter.queue.clone().map(Into::into));
    narrow("? = ANY(tags)", filter.tag.clone().map(Into::into));
    narrow("subject = ?", filter.subject.clone().map(Into::into));
    narrow("created_at >= ?", filter.created_after.map(Into::into));
    narrow("created_at < ?", filter.created_before.map(Into::into));
    values.push(page.fetch().into());
    let limit = values.len();
    let statement = format!("SELECT {LIST_COLUMNS} FROM jobs WHERE {conditions} ORDER BY id DESC LIMIT ${limit}");
    tx.all(sql(&statement, values)).await
}

/// How many of the organization's jobs stand before `job` in its queue.
///
/// # Errors
/// When the database cannot be asked.
pub async fn ahead_of(tx: &OrgTx, job: &Job) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Row {
        ahead: i64,
    }
    let statement = "SELECT count(*) AS ahead FROM jobs
        WHERE org_id = $1 AND queue = $2 AND state = 'queued' AND (priority, id) < ($3, $4)";
    let values = [tx.org().into(), job.queue.clone().into(), job.priority.into(), job.id.into()];
    Ok(tx.one::<Row>(sql(statement, values)).await?.map_or(0, |row| row.ahead))
}
