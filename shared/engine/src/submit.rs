//! Jobs are handed in: their rows are written, in the transaction of the data they are about.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use gristmill_core::ids::{BatchId, JobId, OrgId};
use gristmill_store::{OrgTx, StoreError, SystemTx, db::Tx};
use serde_json::Value as Json;

use crate::{
    Engine,
    edges::{self, AfterProblem},
    insert,
    job::Job,
    kinds::{ArgsProblem, Kind},
    queue::Queue,
    unique::{OnConflict, Unique},
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
    /// Of the jobs of its organization with this key only so many run at once. Not empty.
    pub concurrency: Option<(String, i32)>,
    /// How much of its limits' rates it uses up.
    pub units: i32,
    /// What makes it the only one of its sort.
    pub unique: Option<Unique>,
    /// Jobs that have to succeed before it starts.
    pub after: Vec<JobId>,
    /// The jobs it was handed in with.
    pub batch: Option<BatchId>,
    /// A job that is handed in when it succeeded.
    pub on_success: Option<FollowUp>,
    /// A job that is handed in when it failed, or was cancelled.
    pub on_failure: Option<FollowUp>,
}

/// A job that is handed in when another one ends.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    /// What it does.
    pub kind: String,
    /// What the kind is given.
    #[serde(default)]
    pub args: Json,
    /// Where it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// 0 (first) to 9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
    /// Its owner's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl FollowUp {
    /// The job it becomes.
    pub fn job(self) -> NewJob {
        let Self { kind, args, queue, priority, tags } = self;
        let args = if args.is_null() { Json::Object(serde_json::Map::new()) } else { args };
        NewJob { queue, priority: priority.unwrap_or(5), tags, ..NewJob::new(kind, args) }
    }
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

/// What became of a job that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It was written.
    New(JobId),
    /// There is one of its sort already, and it stays as it is.
    Existing(JobId),
    /// There is one of its sort already, which does now what the new one was to do.
    Replaced(JobId),
}

impl Submitted {
    /// The job that stands for the one handed in.
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Existing(id) | Self::Replaced(id) => id,
        }
    }
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
    /// A follow-up would not be accepted.
    #[error("the follow-up {0} cannot be accepted: {1}")]
    FollowUp(&'static str, Box<SubmitError>),
    /// A job that it is to follow cannot be followed.
    #[error(transparent)]
    After(#[from] AfterProblem),
    /// There is one of its sort already, and it asked to be refused then.
    #[error("{0} has the same unique key and is not over")]
    Duplicate(JobId),
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
            concurrency: None,
            units: 1,
            unique: None,
            after: Vec::new(),
            batch: None,
            on_success: None,
            on_failure: None,
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

/// A job and what is known of its kind.
pub(crate) type Checked = (NewJob, std::sync::Arc<Kind>);

impl Engine {
    /// Writes `job` into the transaction. After the commit, [`Engine::nudge`] gets it going without delay.
    ///
    /// # Errors
    /// When the job is refused, or the database cannot be asked.
    pub async fn submit(&self, tx: &OrgTx, job: NewJob) -> Result<JobId, SubmitError> {
        self.submit_as(tx, tx.org(), job).await
    }

    /// The same for the clockwork, which submits jobs for every organization in one transaction.
    ///
    /// # Errors
    /// When the job is refused, or the database cannot be asked.
    pub async fn submit_for(&self, tx: &SystemTx, org: OrgId, job: NewJob) -> Result<JobId, SubmitError> {
        self.submit_as(tx, org, job).await
    }

    async fn submit_as(&self, tx: &impl Tx, org: OrgId, job: NewJob) -> Result<JobId, SubmitError> {
        match self.submit_each(tx, org, vec![job]).await?.pop() {
            Some(submitted) => submitted.map(Submitted::id),
            None => Err(StoreError::missing("what became of a job").into()),
        }
    }

    /// Writes many jobs into the transaction, answering each in order. A job that is refused is not written; the others
    /// are. Whoever wants all or nothing rolls the transaction back. Jobs may follow others handed in before them.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn submit_many(
        &self,
        tx: &OrgTx,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<Result<Submitted, SubmitError>>, StoreError> {
        self.submit_each(tx, tx.org(), jobs).await
    }

    async fn submit_each(
        &self,
        tx: &impl Tx,
        org: OrgId,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<Result<Submitted, SubmitError>>, StoreError> {
        let mut answers: Vec<Option<Result<Submitted, SubmitError>>> = Vec::with_capacity(jobs.len());
        let mut accepted: Vec<(usize, Checked)> = Vec::with_capacity(jobs.len());
        let all: HashSet<JobId> = jobs.iter().map(|job| job.id).collect();
        for (place, job) in jobs.into_iter().enumerate() {
            match self.check(tx, job).await {
                Ok(checked) => {
                    accepted.push((place, checked));
                    answers.push(None);
                }
                Err(SubmitError::Store(error)) => return Err(error),
                Err(refused) => answers.push(Some(Err(refused))),
            }
        }
        let edges::Looked { problems, followed } = edges::check(tx, org, &all, &mut accepted).await?;
        for (place, problem) in problems {
            answers[place] = Some(Err(problem.into()));
        }
        accepted.retain(|(place, _)| answers[*place].is_none());
        let written = insert::rows(tx, org, accepted.iter().map(|(_, checked)| checked), &followed).await?;
        edges::write(tx, org, accepted.iter().map(|(_, (job, _))| job).filter(|job| written.contains(&job.id))).await?;
        self.counts
            .submitted(org, accepted.iter().map(|(_, checked)| checked).filter(|(job, _)| written.contains(&job.id)));
        for (place, (job, kind)) in accepted {
            let id = job.id;
            let answer =
                if written.contains(&id) { Ok(Submitted::New(id)) } else { self.meet(tx, org, job, &kind).await };
            match answer {
                Err(SubmitError::Store(error)) => return Err(error),
                answer => answers[place] = Some(answer),
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Everything about a job that can be refused without looking at other jobs.
    async fn check(&self, tx: &impl Tx, job: NewJob) -> Result<Checked, SubmitError> {
        let kind = self.kinds.find(tx, &job.kind).await?.ok_or_else(|| SubmitError::UnknownKind(job.kind.clone()))?;
        fits(&kind, &job.args)?;
        for (name, follow_up) in [("on_success", &job.on_success), ("on_failure", &job.on_failure)] {
            if let Some(follow_up) = follow_up {
                self.check_follow_up(tx, name, follow_up).await?;
            }
        }
        Ok((job, kind))
    }

    /// Whether a follow-up would be accepted.
    ///
    /// # Errors
    /// When it would not, or the database cannot be asked.
    pub async fn check_follow_up(
        &self,
        tx: &impl Tx,
        name: &'static str,
        follow_up: &FollowUp,
    ) -> Result<(), SubmitError> {
        let checked = async {
            let job = follow_up.clone().job();
            let kind = self.kinds.find(tx, &job.kind).await?.ok_or(SubmitError::UnknownKind(job.kind))?;
            fits(&kind, &job.args)
        };
        match checked.await {
            Err(SubmitError::Store(error)) => Err(error.into()),
            other => other.map_err(|error| SubmitError::FollowUp(name, Box::new(error))),
        }
    }

    /// What becomes of a job whose row was refused because there is one of its sort.
    async fn meet(
        &self,
        tx: &impl Tx,
        org: OrgId,
        job: NewJob,
        kind: &std::sync::Arc<Kind>,
    ) -> Result<Submitted, SubmitError> {
        let Some(unique) = job.unique.clone() else {
            return Err(StoreError::missing("the reason why a job was not written").into());
        };
        // The one that stood in the way may be over by now.
        for _ in 0..3 {
            if let Some(existing) = unique.holder(tx, org).await? {
                return match unique.on_conflict {
                    OnConflict::Reject => Err(SubmitError::Duplicate(existing)),
                    OnConflict::Ignore => Ok(Submitted::Existing(existing)),
                    OnConflict::Replace if insert::replace(tx, org, existing, &job, kind).await? => {
                        Ok(Submitted::Replaced(existing))
                    }
                    // It runs by now: what it does cannot be changed any more.
                    OnConflict::Replace => Err(SubmitError::Duplicate(existing)),
                };
            }
            let again = (job.clone(), kind.clone());
            if insert::rows(tx, org, [&again], &HashSet::new()).await?.contains(&job.id) {
                edges::write(tx, org, [&job]).await?;
                self.counts.submitted(org, std::iter::once(&again));
                return Ok(Submitted::New(job.id));
            }
        }
        Err(StoreError::missing("a stable view of jobs with the same unique key").into())
    }
}

fn fits(kind: &Kind, args: &Json) -> Result<(), SubmitError> {
    let mut problems = kind.problems(args);
    if problems.is_empty() && has_nul(args) {
        let detail = "the character U+0000 cannot be kept; leave it out".to_owned();
        problems.push(ArgsProblem { pointer: String::new(), detail });
    }
    if problems.is_empty() { Ok(()) } else { Err(SubmitError::Args(problems)) }
}

fn has_nul(json: &Json) -> bool {
    match json {
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(has_nul),
        Json::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}
