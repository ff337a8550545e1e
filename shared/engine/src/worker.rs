//! A worker process: apalis workers take ids as slots come free; jobs run on the process' own tasks.
//!
//! Of apalis this uses the runtime: backends, worker, monitor. A worker's leaf service takes one of its queue's places
//! before apalis may fetch, so nothing is fetched that cannot run; it hands the job to a task of the process and is
//! done with it, so that nothing that happens inside apalis can end a job half-way.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use apalis::prelude::{BoxDynError, Monitor, Task, WorkerBuilder};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use gristmill_core::ids::{JobId, WorkerId};
use gristmill_store::workers;
use serde_json::{Map, Value as Json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{
    sync::{CancellationToken, PollSemaphore},
    task::TaskTracker,
};

use crate::{
    Engine,
    capacity::{Capacity, Room},
    claim::{self, Claimed},
    coalesce::Coalescer,
    delivery::{Demand, Message, Messages},
    finish::{self, Finished},
    kinds::Kinds,
    pulse::{self, Running},
    queue::Queue,
    run,
};

/// Claims, and outcomes, per round trip at most.
const BATCH: usize = 200;
/// A loop that has not asked for work for so long, while it had room for it, is dead.
const SILENT: Duration = Duration::from_secs(30);

/// Why a worker ended although it was not told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The database could not be told what it can run.
    #[error(transparent)]
    Store(#[from] gristmill_store::StoreError),
    /// A part of it panicked; the log says where.
    #[error("the worker's {0} broke; its jobs run elsewhere when their leases are over")]
    Broken(&'static str),
}

/// A worker's limits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Jobs that run at once, per queue in the order of [`Queue::ALL`]. Zero leaves a queue to other workers.
    pub slots: [usize; 4],
    /// How long a claim holds without a heartbeat.
    pub lease: Duration,
    /// How long running jobs may go on after the process was asked to stop.
    pub grace: Duration,
}

/// A worker process: the jobs of `kinds`, run with `services`.
pub struct Worker<S> {
    shared: Arc<Shared<S>>,
    limits: Limits,
    health: Health,
}

/// What every job run of a process shares.
pub(crate) struct Shared<S> {
    pub(crate) engine: Engine,
    pub(crate) services: Arc<S>,
    pub(crate) kinds: Kinds<S>,
    pub(crate) running: Arc<Running>,
    pub(crate) claims: Coalescer<Message, Option<Claimed>>,
    pub(crate) finishes: Coalescer<Finished, bool>,
    /// Outcomes that may wait to be written.
    pub(crate) writing: Semaphore,
    /// Runs that have not ended by now are to be given back.
    pub(crate) give_back: CancellationToken,
    /// A part that everything depends on is gone; the process should end.
    pub(crate) broken: CancellationToken,
    id: WorkerId,
    tracker: TaskTracker,
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.shared.id).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// A worker that has not started yet.
    pub fn new(engine: Engine, services: S, kinds: Kinds<S>, limits: Limits) -> Self {
        let id = WorkerId::generate();
        let shared = Shared {
            claims: claims(engine.clone(), id, limits.lease),
            finishes: finishes(engine.clone()),
            engine,
            services: Arc::new(services),
            kinds,
            running: Arc::default(),
            writing: Semaphore::new(2 * BATCH),
            give_back: CancellationToken::new(),
            broken: CancellationToken::new(),
            id,
            tracker: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared), limits, health: Health::default() }
    }

    /// Something that tells whether this worker still asks for work.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Takes and runs jobs until `stop`, then lets those that run end within the grace, gives the rest back, and
    /// returns.
    ///
    /// # Errors
    /// When the database cannot be told what this worker can run, or a part of the worker broke.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WorkerError> {
        run::keep_backtraces();
        let tx = self.shared.engine.db().system().await?;
        self.shared.kinds.publish(&tx).await?;
        tx.commit().await?;
        let pulse_stop = CancellationToken::new();
        let mut pulse = tokio::spawn(pulse::beat(
            self.shared.engine.clone(),
            self.shared.running.clone(),
            self.limits.lease,
            self.describe(),
            pulse_stop.clone(),
        ));
        // Without a pulse every lease runs out, without claims every message is wasted: then it is better to end.
        let broken = tokio::select! {
            () = self.fetch(stop.clone()) => None,
            _ = &mut pulse => Some(WorkerError::Broken("pulse")),
            () = self.shared.broken.cancelled() => Some(WorkerError::Broken("claims or outcomes")),
        };
        stop.cancel();
        self.shared.tracker.close();
        if tokio::time::timeout(self.limits.grace, self.shared.tracker.wait()).await.is_err() {
            tracing::info!(jobs = self.shared.tracker.len(), "the grace is over; running jobs are given back");
            self.shared.give_back.cancel();
            self.shared.tracker.wait().await;
        }
        pulse_stop.cancel();
        match broken {
            Some(broken) => Err(broken),
            None => pulse.await.map_err(|_| WorkerError::Broken("pulse")),
        }
    }

    /// Runs apalis' workers until `stop`.
    async fn fetch(&self, stop: CancellationToken) {
        let mut monitor = Monitor::new().should_restart(|worker, error| {
            tracing::error!(worker = worker.name(), %error, "a fetching loop ended; it is started again");
            true
        });
        for (queue, slots) in Queue::ALL.into_iter().zip(self.limits.slots) {
            let capacity = Capacity::new(slots);
            let busy = Arc::new(AtomicUsize::new(0));
            for stream in 0..self.shared.engine.delivery().streams().min(slots) {
                let loop_health = self.health.watch(busy.clone());
                let (shared, capacity) = (self.shared.clone(), capacity.clone());
                let wanted = capacity.clone();
                // The place that the stream's worker holds already, and those that are free.
                let demand: Demand = Arc::new(move || wanted.places().available_permits() + 1);
                monitor = monitor.register(move |incarnation| {
                    let name = format!("{queue}-{stream}-{}-{incarnation}", shared.id);
                    let messages =
                        watched(shared.engine.delivery().messages(queue, demand.clone()), loop_health.clone());
                    WorkerBuilder::new(name).backend(messages).build(Slots::new(
                        shared.clone(),
                        capacity.clone(),
                        loop_health.clone(),
                    ))
                });
            }
        }
        let signal = stop.clone();
        let ended = monitor.run_with_signal(async move {
            signal.cancelled().await;
            Ok(())
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "the fetching loops ended in an error");
        }
        stop.cancelled().await;
    }

    fn describe(&self) -> workers::Worker {
        let slots: Map<String, Json> = Queue::ALL
            .iter()
            .zip(self.limits.slots)
            .map(|(queue, slots)| (queue.name().to_owned(), slots.into()))
            .collect();
        workers::Worker {
            id: self.shared.id,
            host: host(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: Json::Object(slots),
        }
    }
}

/// The machine's name, as Linux and most containers tell it.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

fn claims(engine: Engine, worker: WorkerId, lease: Duration) -> Coalescer<Message, Option<Claimed>> {
    Coalescer::start(BATCH, move |messages: Vec<Message>| {
        let engine = engine.clone();
        async move {
            let claimed = claim::claim(engine.db(), worker, lease, &messages).await?;
            let started: Vec<JobId> = claimed.iter().flatten().map(|job| job.id).collect();
            engine.announce(&started);
            Ok(claimed)
        }
        .boxed()
    })
}

fn finishes(engine: Engine) -> Coalescer<Finished, bool> {
    Coalescer::start(BATCH, move |finished: Vec<Finished>| {
        let engine = engine.clone();
        async move {
            let counted = finish::finish(engine.db(), &finished).await?;
            let ended: Vec<JobId> =
                finished.iter().zip(&counted).filter(|(_, counted)| **counted).map(|(one, _)| one.job.id).collect();
            engine.announce(&ended);
            Ok(counted)
        }
        .boxed()
    })
}

/// The leaf service of apalis' workers: one place per job.
struct Slots<S> {
    shared: Arc<Shared<S>>,
    capacity: Arc<Capacity>,
    places: PollSemaphore,
    place: Option<OwnedSemaphorePermit>,
    health: Arc<Loop>,
}

impl<S> Slots<S> {
    fn new(shared: Arc<Shared<S>>, capacity: Arc<Capacity>, health: Arc<Loop>) -> Self {
        let places = PollSemaphore::new(capacity.places().clone());
        Self { shared, capacity, places, place: None, health }
    }
}

impl<S: Send + Sync + 'static> tower::Service<Task<Message>> for Slots<S> {
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        if self.place.is_none() {
            self.health.waits_for_slot.store(true, Ordering::Relaxed);
            self.place = std::task::ready!(self.places.poll_acquire(cx));
            self.health.waits_for_slot.store(false, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Message>) -> Self::Future {
        // Closed semaphores give none; these are never closed.
        if let Some(place) = self.place.take() {
            let (shared, capacity, busy) = (self.shared.clone(), self.capacity.clone(), self.health.busy.clone());
            self.shared.tracker.spawn(run::run(shared, task.args, busy, Room { capacity, place }));
        }
        async { Ok(()) }.boxed()
    }
}

/// Whether a worker's fetching loops are alive: each either asks for work, or waits for a slot of a queue whose jobs run.
/// One that waits while nothing runs, because claims are stuck, is not.
#[derive(Debug, Clone, Default)]
pub struct Health {
    loops: Arc<std::sync::Mutex<Vec<Arc<Loop>>>>,
}

#[derive(Debug)]
struct Loop {
    born: Instant,
    /// Milliseconds after `born` when it last asked.
    asked: AtomicU64,
    waits_for_slot: AtomicBool,
    /// Jobs of the queue that were claimed and run.
    busy: Arc<AtomicUsize>,
}

impl Health {
    /// True while every loop is alive, and there is one.
    pub fn is_alive(&self) -> bool {
        let loops = self.loops.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        !loops.is_empty() && loops.iter().all(|one| one.silent_for() < SILENT || one.is_full())
    }

    fn watch(&self, busy: Arc<AtomicUsize>) -> Arc<Loop> {
        let (asked, waits_for_slot) = (AtomicU64::new(0), AtomicBool::new(false));
        let one = Arc::new(Loop { born: Instant::now(), asked, waits_for_slot, busy });
        self.loops.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(one.clone());
        one
    }
}

impl Loop {
    fn silent_for(&self) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_millis(self.asked.load(Ordering::Relaxed)))
    }

    fn is_full(&self) -> bool {
        self.waits_for_slot.load(Ordering::Relaxed) && self.busy.load(Ordering::Relaxed) > 0
    }

    fn asks(&self) {
        self.asked.store(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The same messages, noting for every ten seconds of waiting, and every message, that somebody still asks.
fn watched(messages: Messages, health: Arc<Loop>) -> Messages {
    futures::stream::unfold((messages, health), |(mut messages, health)| async move {
        loop {
            health.asks();
            match tokio::time::timeout(SILENT / 3, messages.next()).await {
                Ok(message) => return message.map(|message| (message, (messages, health))),
                Err(_) => continue,
            }
        }
    })
    .boxed()
}
