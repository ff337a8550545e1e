//! What a running job can ask for.

use std::{
    cmp::Ordering,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering as Memory},
    },
};

use gristmill_core::{
    clock,
    ids::{JobId, OrgId},
};
use gristmill_store::{Db, OrgTx};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    Engine, NewJob,
    claim::Claimed,
    finish,
    job::{Failure, JobError},
    pulse::Running,
    steps,
    submit::SubmitError,
};

/// A running job's view of the world. Dereferences to the services that its worker lends.
#[derive(Debug)]
pub struct Ctx<S> {
    pub(crate) engine: Engine,
    pub(crate) services: Arc<S>,
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) running: Arc<Running>,
}

/// One attempt at a job, as the worker keeps track of it.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) job: Arc<Claimed>,
    /// Somebody called the job off.
    pub(crate) called_off: CancellationToken,
    /// The lease is lost: somebody else may run the job by now.
    pub(crate) lost: CancellationToken,
    /// The job's completion is committed.
    pub(crate) committed: AtomicBool,
    notes: Mutex<Notes>,
    /// True once the job has said anything.
    pub(crate) spoke: AtomicBool,
    /// Rung when there are notes to be written.
    noted: Arc<Notify>,
}

/// What a job said about itself that is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) progress: Option<Json>,
    pub(crate) log: Vec<Json>,
}

/// Log lines kept between two writings. More than that in a fifth of a second is not for reading.
const MOST_LOG_LINES: usize = 200;

impl Attempt {
    pub(crate) fn new(job: Arc<Claimed>, noted: Arc<Notify>) -> Self {
        Self {
            job,
            called_off: CancellationToken::new(),
            lost: CancellationToken::new(),
            committed: AtomicBool::new(false),
            notes: Mutex::default(),
            spoke: AtomicBool::new(false),
            noted,
        }
    }

    pub(crate) fn take_notes(&self) -> Notes {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes back what could not be written, before what was said since.
    pub(crate) fn put_back(&self, taken: Notes) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let since = std::mem::replace(&mut *notes, taken);
        notes.log.extend(since.log);
        notes.progress = since.progress.or(notes.progress.take());
    }

    fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        self.spoke.store(true, Memory::Release);
        self.noted.notify_one();
    }
}

impl<S> Deref for Ctx<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.services
    }
}

impl<S> Ctx<S> {
    /// The job's id.
    pub fn job_id(&self) -> JobId {
        self.attempt.job.id
    }

    /// Whose job it is.
    pub fn org(&self) -> OrgId {
        self.attempt.job.org_id
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> i32 {
        self.attempt.job.attempt
    }

    /// Resolves once somebody has called the job off; a job that takes long should then end with
    /// [`JobError::Cancelled`]. One that does not is ended after a while, wherever it is.
    pub async fn called_off(&self) {
        self.attempt.called_off.cancelled().await;
    }

    /// [`JobError::Cancelled`] if somebody has called the job off: a place to stop, written `ctx.check()?`.
    ///
    /// # Errors
    /// When the job was called off.
    pub fn check(&self) -> Result<(), JobError> {
        if self.attempt.called_off.is_cancelled() { Err(JobError::Cancelled) } else { Ok(()) }
    }

    /// Waits for `work`, unless the job is called off meanwhile: for waits on others, which notice nothing themselves.
    ///
    /// # Errors
    /// When the job was called off.
    pub async fn unless_called_off<T>(&self, work: impl Future<Output = T>) -> Result<T, JobError> {
        tokio::select! {
            done = work => Ok(done),
            () = self.called_off() => Err(JobError::Cancelled),
        }
    }

    /// Says how far the job is. Cheap: only what was said last is written, a few times a second.
    pub fn progress(&self, done: u64, total: u64, stage: &str) {
        let progress = json!({ "done": done, "total": total, "stage": stage });
        self.attempt.note(|notes| notes.progress = Some(progress));
    }

    /// Writes a line into the job's history, for its owner to read.
    pub fn log(&self, message: impl Into<String>) {
        let line = json!({ "message": message.into() });
        self.attempt.note(|notes| match notes.log.len().cmp(&MOST_LOG_LINES) {
            Ordering::Less => notes.log.push(line),
            Ordering::Equal => notes.log.push(json!({ "message": "… more lines at once than are kept" })),
            Ordering::Greater => {}
        });
    }

    /// A transaction of the job's organization: for reading, and for what must be kept although the job fails. What
    /// is written here is written again with every attempt; a job's results belong into [`Ctx::finish`].
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn begin(&self) -> Result<OrgTx, JobError> {
        Ok(self.engine.db().org(self.org()).await?)
    }

    /// The database, for what is no part of a transaction, such as making an index.
    pub fn db(&self) -> &Db {
        self.engine.db()
    }

    /// Submits a follow-up job in `tx`, the transaction of [`Ctx::finish`].
    ///
    /// # Errors
    /// When the kind or its arguments are refused, or the database cannot be asked.
    pub async fn submit(&self, tx: &OrgTx, mut job: NewJob) -> Result<JobId, SubmitError> {
        job.request_id = job.request_id.or_else(|| self.attempt.job.request_id.clone());
        self.engine.submit(tx, job).await
    }

    /// Does `work` once in the job's life, however often the job is run: what it returned is kept under `name`, and a later
    /// attempt gets that. So nobody pays twice for what was paid for.
    ///
    /// A step whose process dies between its end and its being kept is done again; that window is one round trip.
    ///
    /// # Errors
    /// What `work` said; that its output cannot be kept or read back; or that the lease was lost.
    pub async fn step<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        work: impl AsyncFnOnce() -> Result<T, JobError>,
    ) -> Result<T, JobError> {
        let job = &self.attempt.job;
        // A job that is claimed for the first time has no steps behind it.
        if job.fence > 1
            && let Some(output) = steps::done(&self.engine, job, name).await?
        {
            return Ok(serde_json::from_value(output)?);
        }
        self.check()?;
        let started = clock::now();
        let output = work().await?;
        if !steps::keep(&self.engine, job, name, started, serde_json::to_value(&output)?).await? {
            return Err(self.lease_lost());
        }
        Ok(output)
    }

    /// Ends the job: what `writes` does to the database, the follow-up jobs it submits, and the job's completion with
    /// the value it returns are one transaction. However often the job was delivered or run, this happens once.
    ///
    /// Make it the last thing a job does, and do nothing slow in it: it holds a connection and the job's row.
    ///
    /// # Errors
    /// What `writes` said, or that the lease was lost; either way nothing was written.
    pub async fn finish<T: Serialize>(
        &self,
        writes: impl AsyncFnOnce(&OrgTx) -> Result<T, JobError>,
    ) -> Result<T, JobError> {
        let job = &self.attempt.job;
        self.running.settle(&self.engine, &self.attempt).await?;
        let tx = self.engine.db().org(job.org_id).await?;
        if !finish::hold(&tx, job).await? {
            return Err(self.lease_lost());
        }
        let value = writes(&tx).await?;
        if !finish::succeed_in(&tx, job, serde_json::to_value(&value)?).await? {
            return Err(self.lease_lost());
        }
        tx.commit().await?;
        self.attempt.committed.store(true, Memory::Release);
        self.engine.nudge();
        Ok(value)
    }

    fn lease_lost(&self) -> JobError {
        self.attempt.lost.cancel();
        let failure = Failure::new("lease-lost", "The job was taken over by another worker.");
        JobError::Transient { failure, after: None }
    }
}
