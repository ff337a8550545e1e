//! Real processes are killed, stopped, cut off and restarted by a schedule drawn from a seed, while they work.
//!
//! Every job leaves a line in a ledger, in its finishing transaction. At the end each accepted job must have done what
//! it was told exactly once, and work that waited must never have stood still for long while everything was there.
//!
//! | module | holds |
//! |---|---|
//! | [`schedule`] | what goes wrong, and when |
//! | [`link`] | the wires between processes and stores, which break, hang and dawdle |
//! | [`process`] | processes: started, kept going, signalled |
//! | [`stores`] | a Postgres and a Redis of our own |
//! | [`town`] | all of these together |
//! | [`standing`] | whether jobs can be expected to move |
//! | [`kinds`] | the jobs |
//! | [`load`] | handing them in |
//! | [`watch`] | how long they stood still |
//! | [`report`] | what was lost, and what came twice |

pub mod kinds;
pub mod link;
pub mod load;
pub mod process;
pub mod report;
pub mod schedule;
pub mod standing;
pub mod stores;
pub mod town;
pub mod watch;

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream::FuturesUnordered};
use sqlx::Executor as _;
use tokio_util::sync::CancellationToken;

use self::{report::Report, schedule::Climate, town::Town};

/// How long the last requests, and then the last jobs, may take after the last fault.
const REST: Duration = Duration::from_secs(60);

/// One run.
#[derive(Debug, Clone)]
pub struct Run {
    /// What the schedule, the jobs and the pauses before restarts are drawn from.
    pub seed: u64,
    /// How much goes wrong.
    pub climate: Climate,
    /// Jobs per second.
    pub rate: u32,
    /// Settings of all processes, by the names of their environment variables.
    pub settings: Vec<(String, String)>,
    /// A run whose longest stall is beyond this is not good; its logs are kept.
    pub stall: Duration,
    /// Whether the logs are kept in any case.
    pub keep_logs: bool,
}

impl Climate {
    /// For a test: everything at least once in a minute.
    pub fn short() -> Self {
        Self {
            lasts: Duration::from_secs(45),
            lease: Duration::from_secs(3),
            workers: 3,
            schedulers: 2,
            gap: (Duration::from_millis(500), Duration::from_secs(3)),
            outage: (Duration::from_millis(500), Duration::from_secs(3)),
            redis_trouble: Duration::from_secs(20),
            both: Duration::from_secs(4),
        }
    }

    /// For `minutes`, with outages of up to half a minute.
    pub fn long(minutes: f64) -> Self {
        Self {
            lasts: Duration::from_secs_f64(minutes * 60.0),
            lease: Duration::from_secs(10),
            gap: (Duration::from_secs(1), Duration::from_secs(6)),
            outage: (Duration::from_millis(500), Duration::from_secs(8)),
            both: Duration::from_secs(30),
            ..Self::short()
        }
    }
}

impl Run {
    /// Runs it to its end. `tell` is told what happens, as it happens.
    ///
    /// # Panics
    /// When the installation cannot be built, or its own Postgres or Redis cannot be handled.
    pub async fn go(&self, tell: impl Fn(&str)) -> Report {
        let strikes = schedule::draw(self.seed, &self.climate);
        let mut report = Report {
            seed: self.seed,
            minutes: self.climate.lasts.as_secs_f64() / 60.0,
            faults: strikes.len(),
            ..Report::default()
        };
        let mut town = Town::build(self.seed, &self.climate, self.settings.clone()).await;
        tell(&format!("seed {}: logs in {}", self.seed, town.logs().display()));
        let mut connection = watch::connect(&town.database_url().await).await.unwrap();
        for statement in kinds::LEDGER {
            connection.execute(statement).await.unwrap();
        }
        let (quiet, over) = (CancellationToken::new(), CancellationToken::new());
        let striking = async {
            strike(&town, &strikes, &tell).await;
            quiet.cancel();
        };
        let working = async {
            let ((), loaded) = tokio::join!(striking, load::load(&town, self.seed, self.rate, quiet.clone(), REST));
            // The first one did not outlive the first crash.
            let mut connection = watch::connect(&town.database_url().await).await.unwrap();
            report.drain(&mut connection, REST).await;
            report.audit(&mut connection, &loaded).await;
            over.cancel();
        };
        let ((), seen) = tokio::join!(working, watch::watch(&town, over.clone()));
        report.see(&seen);
        report.count(&town.endings());
        town.stop().await;
        if self.keep_logs || !report.is_good(self.stall) {
            town.keep_logs();
        }
        report
    }
}

/// Lets every fault strike at its time; they overlap. Returns when the last is over.
async fn strike(town: &Town, strikes: &[schedule::Strike], tell: &impl Fn(&str)) {
    let began = Instant::now();
    let mut striking: FuturesUnordered<_> = strikes
        .iter()
        .map(|(at, fault)| async move {
            tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
            tell(&format!("{:6.1} s  {fault:?}", began.elapsed().as_secs_f64()));
            town.strike(*fault).await;
        })
        .collect();
    while striking.next().await.is_some() {}
}
