//! Every job is looked for at the end, and every effect counted.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{kinds::Way, load::Loaded, process::Ending, watch::Seen};

/// Between two looks whether all jobs are over.
const LOOK: Duration = Duration::from_millis(250);
/// The longest a process may try to start before it gives up.
const START: Duration = Duration::from_secs(30);
/// How many of a sort of trouble are written out.
const SHOWN: usize = 10;

/// What a run came to.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What the schedule and the jobs were drawn from.
    pub seed: u64,
    /// How long faults struck.
    pub minutes: f64,
    /// How many did.
    pub faults: usize,
    /// Jobs that exist, follow-ups included.
    pub jobs: usize,
    /// Accepted jobs that did not do, exactly, what they were told: not there, not succeeded, or no effect.
    pub lost: usize,
    /// Effects that came twice, and jobs that nobody handed in.
    pub doubled: usize,
    /// Attempts.
    pub runs: i64,
    /// Attempts that ended with the death of their worker, as the engine saw it.
    pub worker_died: i64,
    /// Requests that were sent again.
    pub repeated_requests: usize,
    /// Processes that were killed or asked to end.
    pub killed: usize,
    /// Processes that ended by themselves soon after their start, as one does that finds a store away.
    pub gave_up: usize,
    /// How long both stores, a worker and a scheduler were well at once, in seconds.
    pub able_s: f64,
    /// The longest time in which work waited and could have moved, in seconds.
    pub longest_stall_s: f64,
    /// In which queue that was, and how far into the run it ended, in seconds.
    pub stalled: Option<(&'static str, f64)>,
    /// How often all queues were seen to move again after a store was away.
    pub recoveries: usize,
    /// The longest that took, in seconds.
    pub longest_recovery_s: f64,
    /// The longest time from accepted to done of any one job, in seconds.
    pub slowest_job_s: f64,
    /// How long the last jobs took after the last fault, in seconds.
    pub drained_s: f64,
    /// What is wrong, in words; of each sort the first few.
    pub complaints: Vec<String>,
}

impl Report {
    /// Nothing lost, nothing doubled, nothing odd, and no stall beyond `stall`.
    pub fn is_good(&self, stall: Duration) -> bool {
        self.lost + self.doubled == 0 && self.complaints.is_empty() && self.longest_stall_s <= stall.as_secs_f64()
    }

    /// Adds how long jobs stood still.
    pub(super) fn see(&mut self, seen: &Seen) {
        self.longest_stall_s = rounded(seen.longest_stall);
        self.able_s = rounded(seen.able);
        self.stalled = seen.where_and_when.map(|(queue, when)| (queue, rounded(when)));
        self.recoveries = seen.recoveries;
        self.longest_recovery_s = rounded(seen.longest_recovery);
    }

    /// Adds how processes ended. None may end by itself once it runs.
    pub(super) fn count(&mut self, endings: &[Ending]) {
        self.killed = endings.iter().filter(|ending| ending.told).count();
        self.gave_up = endings.len() - self.killed;
        let broke = endings.iter().filter(|ending| !ending.told && ending.lived > START);
        let shown = |ending: &Ending| format!("{} with {} after {:?}", ending.name, ending.status, ending.lived);
        self.complain("a process ended by itself", broke.map(shown).collect());
    }

    /// Waits until every job is over, at most `patience`.
    ///
    /// # Panics
    /// When Postgres cannot be asked.
    pub(super) async fn drain(&mut self, connection: &mut PgConnection, patience: Duration) {
        let began = Instant::now();
        let open = "SELECT count(*) FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled')";
        loop {
            let left: i64 = sqlx::query_scalar(open).fetch_one(&mut *connection).await.unwrap();
            self.drained_s = rounded(began.elapsed());
            if left == 0 {
                return;
            }
            if began.elapsed() > patience {
                self.complaints.push(format!("{left} jobs are not over {} s after the last fault", self.drained_s));
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Looks for every job that was handed in, and for every effect.
    ///
    /// # Panics
    /// When Postgres cannot be asked.
    pub(super) async fn audit(&mut self, connection: &mut PgConnection, loaded: &Loaded) {
        self.repeated_requests = loaded.repeated;
        self.complain("a wrong answer", loaded.wrong.clone());
        let rows = sqlx::query("SELECT id, state, attempt FROM jobs").fetch_all(&mut *connection).await.unwrap();
        let jobs: HashMap<Uuid, (String, i32)> =
            rows.iter().map(|row| (row.get("id"), (row.get("state"), row.get("attempt")))).collect();
        self.jobs = jobs.len();
        self.runs = jobs.values().map(|(_, attempt)| i64::from(*attempt)).sum();
        let died = "SELECT count(*) FROM job_events WHERE type = 'worker_died'";
        self.worker_died = sqlx::query_scalar(died).fetch_one(&mut *connection).await.unwrap();

        let slowest = "SELECT coalesce(max(extract(epoch FROM finished_at - created_at)), 0)::float8 FROM jobs";
        let slowest: f64 = sqlx::query_scalar(slowest).fetch_one(&mut *connection).await.unwrap();
        self.slowest_job_s = rounded(Duration::from_secs_f64(slowest));

        let lines = sqlx::query("SELECT job_id, n, follow FROM ledger").fetch_all(&mut *connection).await.unwrap();
        let mut effects: HashMap<(i64, bool), Vec<Uuid>> = HashMap::new();
        for line in &lines {
            effects.entry((line.get("n"), line.get("follow"))).or_default().push(line.get("job_id"));
        }
        let twice = effects.iter().filter(|(_, by)| by.len() > 1);
        let twice: Vec<String> =
            twice.map(|((n, follow), by)| format!("{n} (follow-up: {follow}) by {by:?}")).collect();
        self.doubled += twice.len();
        self.complain("an effect came twice", twice);

        let mut missing = Vec::new();
        let mut known = HashSet::new();
        for one in &loaded.accepted {
            let id = one.id.uuid();
            known.insert(id);
            let mut wrong = Vec::new();
            match jobs.get(&id) {
                Some((state, _)) if state == "succeeded" => {}
                Some((state, attempt)) => wrong.push(format!("is {state}, attempt {attempt}")),
                None => wrong.push("is not there".to_owned()),
            }
            let wrote = effects.get(&(one.n, false)).is_some_and(|by| by.contains(&id));
            if wrote == (one.way == Way::Value) {
                wrong.push(format!("wrote: {wrote}"));
            }
            match (effects.get(&(one.n, true)), one.way) {
                (Some(by), Way::Follow) => known.extend(by),
                (None, Way::Follow) => wrong.push("has no follow-up".to_owned()),
                (Some(_), _) => wrong.push("has a follow-up".to_owned()),
                (None, _) => {}
            }
            if !wrong.is_empty() {
                missing.push(format!("{} ({}, {:?}) {}", one.n, one.id, one.way, wrong.join(", ")));
            }
        }
        self.lost += missing.len();
        self.complain("a job is lost", missing);
        let strange: Vec<String> = jobs.keys().filter(|id| !known.contains(*id)).map(Uuid::to_string).collect();
        self.doubled += strange.len();
        self.complain("a job that nobody knows of", strange);
    }

    fn complain(&mut self, what: &str, cases: Vec<String>) {
        let more = cases.len().saturating_sub(SHOWN);
        self.complaints.extend(cases.into_iter().take(SHOWN).map(|case| format!("{what}: {case}")));
        if more > 0 {
            self.complaints.push(format!("{what}: and {more} more"));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, minutes, faults, jobs, lost, doubled, runs, .. } = self;
        write!(
            f,
            "seed {seed}, {minutes:.1} min, {faults} faults, {jobs} jobs, {lost} lost, {doubled} doubled, {runs} runs "
        )?;
        write!(f, "({} ended by a death), longest stall {} s", self.worker_died, self.longest_stall_s)?;
        if let Some((queue, when)) = self.stalled {
            write!(f, " ({queue}, at {when} s)")?;
        }
        write!(f, " of {} s in which jobs could move", self.able_s)?;
        let Self { recoveries, longest_recovery_s, drained_s, killed, gave_up, .. } = self;
        write!(f, ", {recoveries} recoveries of at most {longest_recovery_s} s, ")?;
        write!(f, "slowest job {} s, the rest done after {drained_s} s; ", self.slowest_job_s)?;
        write!(f, "{killed} processes ended, {gave_up} gave up, {} requests repeated", self.repeated_requests)?;
        self.complaints.iter().try_for_each(|complaint| write!(f, "\n  {complaint}"))
    }
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}
