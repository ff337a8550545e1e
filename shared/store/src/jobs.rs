//! Jobs, for reading. The engine makes and moves them.

use chrono::{DateTime, Utc};
use gristmill_core::ids::{BatchId, JobId, OrgId, WorkerId};
use sea_orm::{FromQueryResult, Value};
use serde_json::Value as Json;
use uuid::Uuid;

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
    /// `waiting`, `scheduled`, `queued`, `running`, `succeeded`, `failed` or `cancelled`.
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
    /// Of the jobs with this key only so many run at once; empty for none.
    pub concurrency_key: String,
    /// How many of its key may run at once.
    pub key_limit: i32,
    /// What makes it the only one of its sort.
    pub unique_key: Option<String>,
    /// The jobs it was handed in with.
    pub batch_id: Option<BatchId>,
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
    timeout_s, run_at, concurrency_key, key_limit, unique_key, batch_id, worker_id, cancel_requested_at, progress, result, error, cost_nusd, request_id, \
    created_at, started_at, finished_at";

impl Job {
    /// True once nothing more will happen to it by itself.
    pub fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "cancelled")
    }
}

/// Which jobs of a list are wanted; what is not set does not narrow. Its names are those of the list's parameters.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// In this state.
    pub state: Option<String>,
    /// In one of these states: what an action fits, beside what was asked for.
    #[serde(skip)]
    pub states: Option<Vec<String>>,
    /// Over before this time.
    #[serde(skip)]
    pub finished_before: Option<DateTime<Utc>>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In this queue.
    pub queue: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// About this.
    pub subject: Option<String>,
    /// Handed in together.
    #[serde(rename = "batch_id")]
    pub batch: Option<BatchId>,
    /// That failed, last, with errors of this sort.
    pub error_fingerprint: Option<String>,
    /// With this text in their arguments, the message of their error or their subject.
    #[serde(rename = "q")]
    pub text: Option<String>,
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
    run_at, concurrency_key, key_limit, unique_key, batch_id, worker_id, cancel_requested_at, progress, error, cost_nusd, request_id, created_at, \
    started_at, finished_at, CASE WHEN pg_column_size(args) > 65536 THEN 'null' ELSE args END AS args, \
    CASE WHEN pg_column_size(result) > 65536 THEN NULL ELSE result END AS result";

/// A page of the organization's jobs, newest first. Arguments and results over 64 kB are null there.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, filter: &Filter, page: Page) -> Result<Vec<Job>> {
    let mut values: Vec<Value> = vec![tx.org().into(), page.before().into()];
    let conditions = format!("org_id = $1 AND id < $2{}", filter.conditions(&mut values));
    values.push(page.fetch().into());
    let limit = values.len();
    let statement = format!("SELECT {LIST_COLUMNS} FROM jobs WHERE {conditions} ORDER BY id DESC LIMIT ${limit}");
    tx.all(sql(&statement, values)).await
}

impl Filter {
    /// The filter as SQL, beginning with ` AND `, its values added to `values`.
    fn conditions(&self, values: &mut Vec<Value>) -> String {
        let mut conditions = String::new();
        let mut narrow = |condition: &str, value: Option<Value>| {
            if let Some(value) = value {
                values.push(value);
                conditions.push_str(&format!(" AND ({})", condition.replace('?', &format!("${}", values.len()))));
            }
        };
        narrow("state = ?", self.state.clone().map(Into::into));
        narrow("state = ANY(?)", self.states.clone().map(Into::into));
        narrow("finished_at < ?", self.finished_before.map(Into::into));
        narrow("kind = ?", self.kind.clone().map(Into::into));
        narrow("queue = ?", self.queue.clone().map(Into::into));
        narrow("? = ANY(tags)", self.tag.clone().map(Into::into));
        narrow("subject = ?", self.subject.clone().map(Into::into));
        narrow("batch_id = ?", self.batch.map(Into::into));
        narrow("error->>'fingerprint' = ?", self.error_fingerprint.clone().map(Into::into));
        let pattern = self.text.as_ref().map(|text| format!("%{}%", escaped(text)));
        narrow("args::text ILIKE ? OR error->>'message' ILIKE ? OR subject ILIKE ?", pattern.map(Into::into));
        narrow("created_at >= ?", self.created_after.map(Into::into));
        narrow("created_at < ?", self.created_before.map(Into::into));
        conditions
    }
}

/// Text in which `LIKE` finds nothing special.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// How many of the organization's jobs the filter fits, counting no further than `most`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn count(tx: &OrgTx, filter: &Filter, most: i64) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Row {
        jobs: i64,
    }
    let mut values: Vec<Value> = vec![tx.org().into(), most.into()];
    let conditions = filter.conditions(&mut values);
    let statement =
        format!("SELECT count(*) AS jobs FROM (SELECT FROM jobs WHERE org_id = $1{conditions} LIMIT $2) AS found");
    Ok(tx.one::<Row>(sql(&statement, values)).await?.map_or(0, |row| row.jobs))
}

/// Ids of the organization's jobs that the filter fits, after `after` and not after `until`, oldest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn ids(tx: &OrgTx, filter: &Filter, after: Uuid, until: Uuid, most: i64) -> Result<Vec<JobId>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: JobId,
    }
    let mut values: Vec<Value> = vec![tx.org().into(), after.into(), until.into(), most.into()];
    let conditions = filter.conditions(&mut values);
    let statement =
        format!("SELECT id FROM jobs WHERE org_id = $1 AND id > $2 AND id <= $3{conditions} ORDER BY id LIMIT $4");
    let rows: Vec<Row> = tx.all(sql(&statement, values)).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// How many jobs of its own lane (queue, kind and concurrency key) stand before `job`, counting no further than `most`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn ahead_of(tx: &OrgTx, job: &Job, most: i64) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Row {
        ahead: i64,
    }
    let statement = "SELECT count(*) AS ahead FROM (
            SELECT FROM jobs WHERE org_id = $1 AND queue = $2 AND kind = $3 AND concurrency_key = $4 AND state = 'queued'
              AND (rank, id) < ((SELECT rank FROM jobs WHERE id = $5 AND org_id = $1), $5) LIMIT $6) AS before";
    let values = [
        tx.org().into(),
        job.queue.clone().into(),
        job.kind.clone().into(),
        job.concurrency_key.clone().into(),
        job.id.into(),
        most.into(),
    ];
    Ok(tx.one::<Row>(sql(statement, values)).await?.map_or(0, |row| row.ahead))
}

/// The jobs that `job` still waits for, at most ten.
///
/// # Errors
/// When the database cannot be asked.
pub async fn waits_for(tx: &OrgTx, job: JobId) -> Result<Vec<JobId>> {
    #[derive(FromQueryResult)]
    struct Row {
        after_id: JobId,
    }
    let statement = "SELECT after_id FROM job_edges WHERE job_id = $1 AND org_id = $2 AND NOT met ORDER BY 1 LIMIT 10";
    let rows: Vec<Row> = tx.all(sql(statement, [job.into(), tx.org().into()])).await?;
    Ok(rows.into_iter().map(|row| row.after_id).collect())
}

/// The jobs that `job` was to follow, met or not.
///
/// # Errors
/// When the database cannot be asked.
pub async fn follows(tx: &OrgTx, job: JobId) -> Result<Vec<JobId>> {
    #[derive(FromQueryResult)]
    struct Row {
        after_id: JobId,
    }
    let statement = "SELECT after_id FROM job_edges WHERE job_id = $1 AND org_id = $2 ORDER BY 1";
    let rows: Vec<Row> = tx.all(sql(statement, [job.into(), tx.org().into()])).await?;
    Ok(rows.into_iter().map(|row| row.after_id).collect())
}
