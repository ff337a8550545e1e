//! What is measured, in terms of what every system can do. This file measures the Rust peers and Gristmill alike.

use std::{
    collections::HashMap,
    error::Error,
    future::Future,
    io::{BufRead as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

/// Whatever went wrong; it ends the measurement.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Jobs per bulk call.
const CHUNK: usize = 1_000;
/// Calls at once where jobs are handed in one by one.
const IN_FLIGHT: usize = 32;
/// Jobs that are not counted, for connections and the worker to be there.
const WARM_UP: usize = 10;
/// Between those and the ones that count.
const PAUSE: Duration = Duration::from_millis(500);
/// Longer than anything is measured.
const FOREVER: Duration = Duration::from_secs(600);
/// Between two looks at what the store has recorded.
const LOOK: Duration = Duration::from_millis(2);

/// What a job is given.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Its number.
    pub(crate) i: usize,
    /// Whose it is.
    pub(crate) tenant: usize,
    /// How long it takes, in milliseconds.
    pub(crate) ms: u64,
}

/// A system under measurement.
pub(crate) trait System: Clone + Send + Sync + 'static {
    /// Hands one job in; done when the store has accepted it.
    fn enqueue(&self, load: Load) -> impl Future<Output = Result<()>> + Send;

    /// Hands many in, by the system's bulk call.
    fn enqueue_many(&self, loads: Vec<Load>) -> impl Future<Output = Result<()>> + Send;

    /// Starts a worker with `slots` slots in this process, for good; its jobs do [`Tally::run`].
    fn work(&self, slots: usize, tally: Arc<Tally>) -> impl Future<Output = Result<()>> + Send;

    /// How many jobs the store records as completed.
    fn finished(&self) -> impl Future<Output = Result<usize>> + Send;
}

/// What jobs tell about themselves.
#[derive(Debug)]
pub(crate) struct Tally {
    began: Instant,
    /// Microseconds after `began` when each job started, where that is asked for.
    starts: Vec<AtomicUsize>,
    says: bool,
    /// Jobs of the first tenant are counted in `others`.
    pub(crate) small_only: bool,
    left: AtomicUsize,
    pub(crate) others: AtomicUsize,
    through: Notify,
}

impl Tally {
    fn new(n: usize) -> Self {
        let left = AtomicUsize::new(n);
        let (began, through, others) = (Instant::now(), Notify::new(), AtomicUsize::new(0));
        Self { began, starts: Vec::new(), says: false, small_only: false, left, others, through }
    }

    /// Keeps when each of `n` jobs starts.
    pub(crate) fn timed(n: usize) -> Self {
        let mut tally = Self::new(WARM_UP);
        tally.starts.resize_with(n.max(WARM_UP), AtomicUsize::default);
        tally
    }

    /// What every job does: it tells that it started, waits as long as it is told, and tells that it is through.
    pub(crate) async fn run(&self, load: Load) {
        if let Some(start) = self.starts.get(load.i) {
            start.store(self.micros(), Ordering::Relaxed);
        }
        if self.says {
            say(&json!({ "started": load.i }));
        }
        if load.ms > 0 {
            tokio::time::sleep(Duration::from_millis(load.ms)).await;
        }
        if self.small_only && load.tenant == 0 {
            self.others.fetch_add(1, Ordering::Relaxed);
        } else if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.through.notify_one();
        }
    }

    fn micros(&self) -> usize {
        usize::try_from(self.began.elapsed().as_micros()).unwrap_or(usize::MAX)
    }
}

/// The numbers after the workload's name.
pub(crate) type Sizes = HashMap<String, usize>;

/// Reads `--name number` pairs.
///
/// # Errors
/// When something is no such pair.
pub(crate) fn sizes(words: &[String]) -> Result<Sizes> {
    words
        .chunks(2)
        .map(|pair| match pair {
            [name, number] => Ok((name.trim_start_matches('-').to_owned(), number.parse()?)),
            _ => Err("sizes are pairs: --name number".into()),
        })
        .collect()
}

/// One line of JSON on standard output, at once.
pub(crate) fn say(value: &Json) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: whoever started this has gone, and so will this.
    let _gone = writeln!(out, "{value}").and_then(|()| out.flush());
}

/// Runs a workload and returns its figures.
///
/// # Errors
/// When there is no such workload, a size is missing, or the system fails.
pub(crate) async fn measure(system: &impl System, workload: &str, sizes: &Sizes) -> Result<Json> {
    let size = |name: &str| sizes.get(name).copied().ok_or_else(|| format!("--{name} is missing"));
    match workload {
        "enqueue-one" => enqueue_one(system, size("n")?).await,
        "enqueue-bulk" => enqueue_bulk(system, size("n")?).await,
        "drain" => drain(system, size("n")?, size("slots")?, 0).await,
        "slots" => drain(system, size("n")?, size("slots")?, u64::try_from(size("ms")?)?).await,
        "latency" => {
            latency(system, size("n")?, size("slots")?, Duration::from_millis(u64::try_from(size("apart")?)?)).await
        }
        "fairness" => fairness(system, size("big")?, size("small")?, size("tenants")?, size("slots")?).await,
        "memory" => memory(system, size("n")?, size("slots")?).await,
        "hold" => hold(system, size("n")?, size("slots")?).await,
        "resume" => stand(system, size("slots")?).await,
        other => Err(format!("there is no workload \"{other}\"").into()),
    }
}

async fn enqueue_all(system: &impl System, loads: &[Load]) -> Result<()> {
    for chunk in loads.chunks(CHUNK) {
        system.enqueue_many(chunk.to_vec()).await?;
    }
    Ok(())
}

async fn recorded(system: &impl System, n: usize) -> Result<()> {
    while system.finished().await? < n {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn loads(n: usize, tenant: usize, ms: u64) -> Vec<Load> {
    (0..n).map(|i| Load { i, tenant, ms }).collect()
}

#[expect(clippy::cast_precision_loss, reason = "jobs are counted in thousands")]
pub(crate) fn rate(n: usize, began: Instant) -> Json {
    let seconds = began.elapsed().as_secs_f64();
    json!({ "seconds": seconds, "jobs_per_s": n as f64 / seconds })
}

async fn enqueue_one(system: &impl System, n: usize) -> Result<Json> {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (system, next) = (system.clone(), next.clone());
        callers.spawn(async move {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= n {
                    return Result::Ok(());
                }
                system.enqueue(Load { i, tenant: 0, ms: 0 }).await?;
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(rate(n, began))
}

async fn enqueue_bulk(system: &impl System, n: usize) -> Result<Json> {
    let all = loads(n, 0, 0);
    let began = Instant::now();
    enqueue_all(system, &all).await?;
    Ok(rate(n, began))
}

async fn drain(system: &impl System, n: usize, slots: usize, ms: u64) -> Result<Json> {
    enqueue_all(system, &loads(n, 0, ms)).await?;
    let tally = Arc::new(Tally::new(n));
    let began = Instant::now();
    system.work(slots, tally.clone()).await?;
    tally.through.notified().await;
    recorded(system, n).await?;
    Ok(rate(n, began))
}

async fn latency(system: &impl System, n: usize, slots: usize, apart: Duration) -> Result<Json> {
    let tally = Arc::new(Tally::timed(n));
    system.work(slots, tally.clone()).await?;
    waits(system, &tally, 0, n, apart).await
}

/// How long jobs of a tenant wait until their code starts, in a system that has nothing else to run.
pub(crate) async fn waits(
    system: &impl System,
    tally: &Tally,
    tenant: usize,
    n: usize,
    apart: Duration,
) -> Result<Json> {
    // The worker is there when it has run something.
    tally.left.store(WARM_UP, Ordering::Release);
    enqueue_all(system, &loads(WARM_UP, tenant, 0)).await?;
    tally.through.notified().await;
    tally.left.store(n, Ordering::Release);
    tokio::time::sleep(PAUSE).await;
    let mut clock = tokio::time::interval(apart);
    let mut sent = Vec::with_capacity(n);
    let mut callers = tokio::task::JoinSet::new();
    for i in 0..n {
        clock.tick().await;
        sent.push(tally.micros());
        let system = system.clone();
        callers.spawn(async move { system.enqueue(Load { i, tenant, ms: 0 }).await });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    tally.through.notified().await;
    let waits = sent.iter().zip(&tally.starts).map(|(sent, start)| {
        let micros = start.load(Ordering::Relaxed).saturating_sub(*sent);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).as_secs_f64() * 1_000.0
    });
    Ok(json!({ "waits_ms": waits.collect::<Vec<f64>>() }))
}

async fn fairness(system: &impl System, big: usize, small: usize, tenants: usize, slots: usize) -> Result<Json> {
    enqueue_all(system, &loads(big, 0, 0)).await?;
    for tenant in 1..=tenants {
        enqueue_all(system, &loads(small, tenant, 0)).await?;
    }
    let mut tally = Tally::new(small * tenants);
    tally.small_only = true;
    let tally = Arc::new(tally);
    let began = Instant::now();
    system.work(slots, tally.clone()).await?;
    tally.through.notified().await;
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({ "seconds": seconds, "big_before": tally.others.load(Ordering::Relaxed) }))
}

/// Between its stages it stands still until a line comes in, so that its memory can be read from outside.
async fn memory(system: &impl System, n: usize, slots: usize) -> Result<Json> {
    let warm = n.div_ceil(10);
    let tally = Arc::new(Tally::new(0));
    system.work(slots, tally.clone()).await?;
    stage("idle").await?;
    for (count, before, at) in [(warm, 0, "warm"), (n, warm, "done")] {
        tally.left.store(count, Ordering::Release);
        enqueue_all(system, &loads(count, 0, 0)).await?;
        tally.through.notified().await;
        recorded(system, before + count).await?;
        stage(at).await?;
    }
    Ok(json!({ "jobs": n }))
}

async fn stage(at: &str) -> Result<()> {
    say(&json!({ "at": at }));
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new())).await??;
    Ok(())
}

async fn hold(system: &impl System, n: usize, slots: usize) -> Result<Json> {
    enqueue_all(system, &loads(n, 0, u64::try_from(FOREVER.as_millis())?)).await?;
    stand(system, slots).await
}

async fn stand(system: &impl System, slots: usize) -> Result<Json> {
    let mut tally = Tally::new(usize::MAX);
    tally.says = true;
    system.work(slots, Arc::new(tally)).await?;
    tokio::time::sleep(FOREVER).await;
    Ok(Json::Null)
}
