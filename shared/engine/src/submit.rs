//! A job is handed in: its row is written, in the transaction of the data it is about.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gristmill_core::ids::{JobId, OrgId};
use gristmill_store::{
    OrgTx, StoreError, SystemTx,
    db::{Tx, sql},
};
use sea_orm::FromQueryResult;
use serde_json::{Value as Json, json};

use crate::{
    Engine,
    events::{self, Event},
    job::Job,
    kinds::{ArgsProblem, Kind},
    queue::Queue,
    state::State,
};

/// A job that is to be. What is not set is as its kind says.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id, made beforehand so that other rows can name it.
    pub id: JobId,
    /// What it does.
    pub kind: String,
    /// What the kind is given.
    pub args: Json,
    /// Where it waits.
    pub queue: Option<Queue>,
    /// 0 (first) to 9.
    pub priority: i16,
    /// When it may start.
    pub start: Start,
    /// Its owner's labels.
    pub tags: Vec<String>,
    /// The id of what it is about.
    pub subject: Option<String>,
    /// How often it may be started.
    pub max_attempts: Option<u16>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// The request that made it.
    pub request_id: Option<String>,
}

/// When a job may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At once.
    Now,
    /// At this time by the database's clock; at once if that has passed.
    At(DateTime<Utc>),
    /// After this time.
    In(Duration),
}

/// Why a job was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// No worker has ever said that it can run such jobs.
    #[error("there is no kind of job called \"{0}\"")]
    UnknownKind(String),
    /// The kind does not accept the arguments.
    #[error("the arguments do not fit the kind of job")]
    Args(Vec<ArgsProblem>),
    /// The database cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NewJob {
    /// A job of kind `kind`, to run at once.
    pub fn new(kind: impl Into<String>, args: Json) -> Self {
        Self {
            id: JobId::generate(),
            kind: kind.into(),
            args,
            queue: None,
            priority: 5,
            start: Start::Now,
            tags: Vec::new(),
            subject: None,
            max_attempts: None,
            timeout: None,
            request_id: None,
        }
    }

    /// The job `job`, for code that knows its kind.
    ///
    /// # Errors
    /// When the arguments cannot be written as JSON.
    pub fn of<S, J: Job<S>>(job: &J) -> Result<Self, serde_json::Error> {
        Ok(Self::new(J::KIND, serde_json::to_value(job)?))
    }

    /// Says what the job is about, by the id of that.
    #[must_use]
    pub fn about(mut self, subject: &impl ToString) -> Self {
        self.subject = Some(subject.to_string());
        self
    }
}

impl Engine {
    /// Writes `job` into the transaction. After the commit, [`Engine::nudge`] gets it going without delay.
    ///
    /// # Errors
    /// When the kind or its arguments are refused, or the database cannot be asked.
    pub async fn submit(&self, tx: &OrgTx, job: NewJob) -> Result<JobId, SubmitError> {
        self.submit_as(tx, tx.org(), job).await
    }

    /// The same for the clockwork, which submits jobs for every organization in one transaction.
    ///
    /// # Errors
    /// When the kind or its arguments are refused, or the database cannot be asked.
    pub async fn submit_for(&self, tx: &SystemTx, org: OrgId, job: NewJob) -> Result<JobId, SubmitError> {
        self.submit_as(tx, org, job).await
    }

    async fn submit_as(&self, tx: &impl Tx, org: OrgId, job: NewJob) -> Result<JobId, SubmitError> {
        let id = job.id;
        let kind = self.kinds.find(tx, &job.kind).await?.ok_or(SubmitError::UnknownKind(job.kind.clone()))?;
        let mut problems = kind.problems(&job.args);
        if problems.is_empty() && job.args != events::storable(job.args.clone()) {
            let detail = "the character U+0000 cannot be kept; leave it out".to_owned();
            problems.push(ArgsProblem { pointer: String::new(), detail });
        }
        if !problems.is_empty() {
            return Err(SubmitError::Args(problems));
        }
        insert(tx, org, job, &kind).await?;
        metrics::counter!("gristmill_jobs_submitted_total", "kind" => kind.info.kind.clone()).increment(1);
        Ok(id)
    }
}

async fn insert(tx: &impl Tx, org: OrgId, job: NewJob, kind: &Kind) -> Result<(), StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        state: String,
        run_at: DateTime<Utc>,
    }
    let (at, delay_s) = match job.start {
        Start::Now => (None, None),
        Start::At(time) => (Some(time), None),
        Start::In(delay) => (None, Some(delay.as_secs_f64())),
    };
    let timeout_s = job.timeout.map_or(kind.info.timeout_s, |limit| i32::try_from(limit.as_secs()).unwrap_or(i32::MAX));
    let row = tx
        .one::<Row>(sql(
            "INSERT INTO jobs (id, org_id, kind, queue, priority, state, args, tags, subject, max_attempts, timeout_s,
                 run_at, request_id)
             SELECT $1, $2, $3, $4, $5, CASE WHEN at > now() THEN $6 ELSE $7 END, $8, $9, $10, $11, $12, at, $13
             FROM (SELECT coalesce($14, now() + make_interval(secs => coalesce($15, 0.0)))) AS start(at)
             RETURNING state, run_at",
            [
                job.id.into(),
                org.into(),
                job.kind.clone().into(),
                job.queue.unwrap_or(kind.info.queue).name().into(),
                job.priority.into(),
                State::Scheduled.name().into(),
                State::Queued.name().into(),
                job.args.into(),
                job.tags.into(),
                job.subject.clone().into(),
                job.max_attempts.map_or(kind.info.max_attempts, i32::from).into(),
                timeout_s.into(),
                job.request_id.into(),
                at.into(),
                delay_s.into(),
            ],
        ))
        .await?;
    let data = row.map_or(Json::Null, |row| json!({ "state": row.state, "run_at": row.run_at }));
    events::write(tx, &[Event { org, job: job.id, name: "created", attempt: 0, data }]).await
}
