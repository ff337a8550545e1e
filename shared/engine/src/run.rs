//! One attempt at a job: its code runs, watched for time, cancellation and loss of its lease.

use std::{
    any::Any,
    backtrace::Backtrace,
    cell::RefCell,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument as _;

use crate::{
    capacity::Room,
    claim::Claimed,
    coalesce::AskError,
    ctx::{Attempt, Ctx},
    delivery::Message,
    finish::{Finished, Outcome},
    job::{Failure, JobError},
    kinds::Entry,
    worker::Shared,
};

/// How long a job that was called off may go on before it is ended wherever it is.
const CANCEL_GRACE: Duration = Duration::from_secs(10);
/// How long a process that is ending still tries to write outcomes.
const LAST_TRY: Duration = Duration::from_secs(3);
/// Pause before the database is asked again, when it could not be.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Runs the job that `message` names, if its row can be claimed. Its place is given back when the job's code has ended:
/// the next one can be fetched while the outcome is written.
pub(crate) async fn run<S: Send + Sync + 'static>(
    worker: Arc<Shared<S>>,
    message: Message,
    busy: Arc<AtomicUsize>,
    room: Room,
) {
    let Some(entry) = worker.kinds.get(&message.kind) else {
        // A worker of a later version knows it; the sweeper sends the message anew.
        tracing::info!(job.id = %message.job_id, job.kind = message.kind, "left to another worker: this one does not know the kind");
        return;
    };
    let fetched = Instant::now();
    let Some(job) = claim(&worker, message).await else { return };
    room.capacity.claimed(fetched.elapsed());
    let span = tracing::info_span!(
        "job", job.id = %job.id, job.kind = job.kind, job.attempt = job.attempt, org.id = %job.org_id,
        request_id = job.request_id
    );
    busy.fetch_add(1, Ordering::Relaxed);
    attempt(&worker, entry, job, room).instrument(span).await;
    busy.fetch_sub(1, Ordering::Relaxed);
}

/// Claims, for as long as it takes to reach the database: a message once taken is not to be thrown away.
async fn claim<S>(worker: &Shared<S>, message: Message) -> Option<Claimed> {
    loop {
        match worker.claims.ask(message.clone()).await {
            Ok(claimed) => return claimed,
            Err(AskError::Gone) => {
                worker.broken.cancel();
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, job.id = %message.job_id, "the job cannot be claimed; trying again")
            }
        }
        tokio::select! {
            () = worker.give_back.cancelled() => return None,
            () = tokio::time::sleep(ASK_AGAIN) => {}
        }
    }
}

async fn attempt<S: Send + Sync + 'static>(worker: &Arc<Shared<S>>, entry: &Entry<S>, job: Claimed, room: Room) {
    let kind = job.kind.clone();
    metrics::histogram!("gristmill_job_wait_seconds", "kind" => kind.clone()).record(job.waited_s.max(0.0));
    let attempt = Arc::new(Attempt::new(Arc::new(job), worker.running.noted.clone()));
    worker.running.add(&attempt);
    let slot = room.capacity.slot().await;
    let started = Instant::now();
    let outcome = match &slot {
        Some(_) => watch(worker, entry, &attempt).await,
        // Claimed too early: somebody else may have room for it.
        None => Some(Outcome::Released),
    };
    let ran = slot.map(|_| started.elapsed());
    // Outcomes that wait to be written are bounded: while the database is out of reach, places stay taken.
    let _writing = worker.writing.acquire().await;
    room.capacity.ended(ran, room.place);
    if let Some(outcome) = outcome {
        let name = outcome.name();
        let (counted, took) = (outcome.clone(), started.elapsed());
        log(&outcome, started.elapsed());
        let written = if attempt.committed.load(Ordering::Acquire) {
            worker.engine.announce(&[attempt.job.id]);
            true
        } else {
            if let Err(error) = worker.running.settle(&worker.engine, &attempt).await {
                tracing::warn!(%error, "what the job said last is lost");
            }
            write(worker, &attempt, outcome).await
        };
        if written {
            worker.engine.counts.ended(&attempt.job, &counted, took);
        }
        metrics::counter!("gristmill_jobs_finished_total", "kind" => kind.clone(), "outcome" => name).increment(1);
        metrics::histogram!("gristmill_job_run_seconds", "kind" => kind, "outcome" => name)
            .record(started.elapsed().as_secs_f64());
    } else {
        tracing::warn!("the lease was lost; the run was ended and writes nothing");
        metrics::counter!("gristmill_jobs_finished_total", "kind" => kind, "outcome" => "lease_lost").increment(1);
    }
    worker.running.remove(&attempt);
}

/// Runs the job's code to its end, or ends it. `None` when the lease was lost: then there is nothing to write.
async fn watch<S: Send + Sync + 'static>(
    worker: &Arc<Shared<S>>,
    entry: &Entry<S>,
    attempt: &Arc<Attempt>,
) -> Option<Outcome> {
    let job = &attempt.job;
    let ctx = Ctx {
        engine: worker.engine.clone(),
        services: worker.services.clone(),
        attempt: attempt.clone(),
        running: worker.running.clone(),
    };
    let (code, args) = (entry.run.clone(), job.args.clone());
    let running = async move { AssertUnwindSafe(code(args, &ctx)).catch_unwind().await.map_err(Panic::caught) };
    // On a task of its own: what happens to this future does not end the job half-way.
    let mut running = AbortOnDropHandle::new(tokio::spawn(running.in_current_span()));
    let timeout = Duration::from_secs(u64::try_from(job.timeout_s).unwrap_or(0));
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = attempt.lost.cancelled() => return None,
        () = tokio::time::sleep(timeout) => return Some(failed(entry, job, timed_out(timeout), None)),
        () = worker.give_back.cancelled() => return Some(Outcome::Released),
        () = softly(attempt.called_off.clone()) => return Some(Outcome::Cancelled),
    };
    Some(match ended {
        Ok(Ok(Ok(result))) => Outcome::Succeeded(result),
        Ok(Ok(Err(error))) => outcome_of(entry, attempt, error),
        Ok(Err(panic)) => failed(entry, job, panic.failure(), None),
        // Nobody aborts the task but the drop of its handle.
        Err(error) => failed(entry, job, Panic { message: error.to_string(), backtrace: None }.failure(), None),
    })
}

/// Resolves when a job that was called off has had its time to end by itself.
async fn softly(called_off: CancellationToken) {
    called_off.cancelled().await;
    tokio::time::sleep(CANCEL_GRACE).await;
}

fn outcome_of<S>(entry: &Entry<S>, attempt: &Attempt, error: JobError) -> Outcome {
    match error {
        _ if attempt.called_off.is_cancelled() => Outcome::Cancelled,
        JobError::Cancelled => Outcome::Cancelled,
        JobError::Permanent(failure) => Outcome::Failed(failure),
        JobError::Snooze { wait, why } => Outcome::Snoozed { wait, why },
        JobError::Transient { failure, after } => failed(entry, &attempt.job, failure, after),
    }
}

/// Another attempt if there may be one, after `after` or the kind's back-off.
fn failed<S>(entry: &Entry<S>, job: &Claimed, failure: Failure, after: Option<Duration>) -> Outcome {
    if job.attempt >= job.max_attempts {
        return Outcome::Failed(failure);
    }
    let attempt = u32::try_from(job.attempt).unwrap_or(1);
    let wait = after.unwrap_or_else(|| entry.backoff.wait(attempt, rand::random()));
    Outcome::Retry { failure, wait }
}

fn timed_out(limit: Duration) -> Failure {
    Failure::new("timeout", format!("The attempt took longer than its limit of {} s.", limit.as_secs()))
}

/// Writes the outcome, for as long as it takes to reach the database, or until the lease is lost. A process that is
/// ending leaves it to the lease after a while. True where it counted.
async fn write<S>(worker: &Shared<S>, attempt: &Attempt, outcome: Outcome) -> bool {
    let mut finished = Finished { job: attempt.job.clone(), outcome };
    let given_up = async {
        worker.give_back.cancelled().await;
        tokio::time::sleep(LAST_TRY).await;
    };
    tokio::pin!(given_up);
    loop {
        match worker.finishes.ask(finished.clone()).await {
            Ok(true) => {
                worker.engine.nudge();
                return true;
            }
            Ok(false) => {
                tracing::warn!("the lease was lost; the outcome was not written");
                return false;
            }
            Err(AskError::Gone) => {
                worker.broken.cancel();
                return false;
            }
            Err(error) if error.is_refusal() && !matches!(finished.outcome, Outcome::Failed(_)) => {
                tracing::error!(%error, "the database refuses the outcome");
                let failure = Failure::new("result-not-storable", "The job's result cannot be kept.");
                finished.outcome = Outcome::Failed(failure.with_detail(error.to_string()));
                continue;
            }
            Err(error) => tracing::warn!(%error, "the outcome cannot be written; trying again"),
        }
        tokio::select! {
            () = attempt.lost.cancelled() => return false,
            () = &mut given_up => {
                tracing::warn!("the outcome was not written; the job runs again when its lease is over");
                return false;
            }
            () = tokio::time::sleep(ASK_AGAIN) => {}
        }
    }
}

fn log(outcome: &Outcome, took: Duration) {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Outcome::Retry { failure, wait } => tracing::warn!(
            duration_ms,
            error.code = failure.code,
            error.detail = failure.detail,
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "{}; trying again later",
            failure.message
        ),
        Outcome::Failed(failure) => {
            tracing::error!(
                duration_ms,
                error.code = failure.code,
                error.detail = failure.detail,
                "{}",
                failure.message
            );
        }
        Outcome::Snoozed { why, .. } => tracing::info!(duration_ms, why, "snoozed"),
        other => tracing::debug!(duration_ms, outcome = other.name(), "ended"),
    }
}

/// A panic in a job's code.
struct Panic {
    message: String,
    backtrace: Option<String>,
}

thread_local! {
    static BACKTRACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

impl Panic {
    /// Called where the panic was caught, on the thread that panicked.
    fn caught(payload: Box<dyn Any + Send>) -> Self {
        let message = match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => {
                payload.downcast::<&str>().map_or_else(|_| "no message".to_owned(), |text| (*text).to_owned())
            }
        };
        Self { message, backtrace: BACKTRACE.take() }
    }

    fn failure(self) -> Failure {
        let trace = self.backtrace.map(|trace| format!("\n{trace}")).unwrap_or_default();
        Failure::new("panic", "The job's code broke; this is a mistake on our side.")
            .with_detail(format!("{}{trace}", self.message))
    }
}

/// Makes panics leave their backtrace where [`Panic::caught`] finds it. The hook that was there still runs.
pub(crate) fn keep_backtraces() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            BACKTRACE.set(Some(Backtrace::force_capture().to_string()));
            before(panic);
        }));
    });
}
