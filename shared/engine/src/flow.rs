//! What holds jobs back: limits, rates and pauses, as pure functions.
//!
//! Jobs of one queue, organization, kind and concurrency key form a *lane*. Whatever may hold a job back holds back its
//! whole lane, so both the dispatcher and whoever asks why a job does not run look at lanes, through [`Flow::admits`].

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
    time::Duration,
};

use gristmill_core::ids::OrgId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::Queue;

/// The organization of limits that hold for all together.
pub const EVERYBODY: Uuid = Uuid::nil();

/// Jobs that are alike in everything that may hold them back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// Where they wait.
    pub queue: Queue,
    /// Whose they are.
    pub org: OrgId,
    /// What they do.
    pub kind: String,
    /// The key of which only so many run at once; empty for none.
    pub key: String,
}

/// What a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A whole organization.
    Org,
    /// A queue.
    Queue,
    /// A kind of job.
    Kind,
    /// A concurrency key.
    Key,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Org, Self::Queue, Self::Kind, Self::Key];

    /// Its name in the database and over HTTP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Queue => "queue",
            Self::Kind => "kind",
            Self::Key => "key",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no scope has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope \"{0}\"; the scopes are org, queue, kind and key")]
pub struct UnknownScope(pub String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// What a limit is of: an organization's (or everybody's) queue, kind or key, or the organization itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Whose; [`EVERYBODY`] for all together.
    pub org: Uuid,
    /// What.
    pub scope: Scope,
    /// Its name; empty for an organization.
    pub name: String,
}

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limit {
    /// An organization's share beside others; 1 if not given.
    pub weight: Option<i32>,
    /// Jobs that run, or are on their way to a worker, at once.
    pub max_running: Option<i32>,
    /// Units that may start per minute.
    pub per_minute: Option<i32>,
    /// Nothing starts, …
    pub paused: bool,
    /// … until this time if there is one, in seconds since 2000 by the database's clock.
    pub paused_until: Option<f64>,
    /// The time up to which units that were used are paid for, in the same seconds.
    pub paid_at: Option<f64>,
}

/// How much of a minute's units may start at one moment: what one second brings.
const BURST_S: f64 = 1.0;

impl Limit {
    fn is_paused(&self, now: f64) -> bool {
        self.paused && self.paused_until.is_none_or(|until| until > now)
    }

    /// How long until units may be used, by GCRA (ITU-T I.371, annex A): what was used is paid for at an even pace, and a
    /// second's worth may be owed.
    fn rate_wait(&self, now: f64) -> Duration {
        match (self.per_minute, self.paid_at) {
            (Some(_), Some(paid_at)) => Duration::try_from_secs_f64(paid_at - BURST_S - now).unwrap_or(Duration::ZERO),
            _ => Duration::ZERO,
        }
    }

    fn pay(&mut self, units: i32, now: f64) {
        if let Some(per_minute) = self.per_minute {
            let since = self.paid_at.unwrap_or(now).max(now);
            self.paid_at = Some(since + f64::from(units) * 60.0 / f64::from(per_minute));
        }
    }
}

/// Why a lane does not move.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// It is paused, until a time (seconds since 2000) or until somebody resumes it.
    Paused(Subject, Option<f64>),
    /// As many as may run do run.
    Full(Subject, i32),
    /// Units per minute are used up for so long.
    Rate(Subject, Duration),
}

/// Limits and what counts against them, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// Seconds since 2000 by the database's clock.
    pub now: f64,
    limits: HashMap<Subject, Limit>,
    running: HashMap<Subject, usize>,
    /// Limits whose rate was used since they were read.
    used: HashSet<Subject>,
}

impl Flow {
    /// Nothing limited, nothing running.
    pub fn at(now: f64) -> Self {
        Self { now, ..Self::default() }
    }

    /// Adds a limit.
    pub fn limit(&mut self, subject: Subject, limit: Limit) {
        self.limits.insert(subject, limit);
    }

    /// True where some limit needs to know what runs.
    pub fn counts_running(&self) -> bool {
        self.limits.values().any(|limit| limit.max_running.is_some())
    }

    /// Counts `jobs` jobs of `lane` that run or are on their way.
    pub fn count(&mut self, lane: &Lane, jobs: usize) {
        for subject in subjects(lane) {
            *self.running.entry(subject).or_default() += jobs;
        }
    }

    /// An organization's share beside others.
    pub fn weight(&self, org: OrgId) -> i32 {
        let subject = Subject { org: org.uuid(), scope: Scope::Org, name: String::new() };
        self.limits.get(&subject).and_then(|limit| limit.weight).unwrap_or(1).max(1)
    }

    /// What the units that were taken make of the limits: subject and the time up to which they are paid for.
    pub fn paid(&self) -> impl Iterator<Item = (&Subject, f64)> {
        self.used.iter().filter_map(|subject| Some((subject, self.limits.get(subject)?.paid_at?)))
    }

    /// Whether one more job of `lane` may start now. `key_limit` is how many of its key may run at once.
    ///
    /// # Errors
    /// What holds it back; of several things the one that will hold longest: a pause, then what runs, then a rate.
    pub fn admits(&self, lane: &Lane, key_limit: i32) -> Result<(), Block> {
        if self.is_free(lane) {
            return Ok(());
        }
        let subjects: Vec<Subject> = subjects(lane).collect();
        let limits = || subjects.iter().filter_map(|subject| Some((subject, self.limits.get(subject)?)));
        if let Some((subject, limit)) = limits().find(|(_, limit)| limit.is_paused(self.now)) {
            return Err(Block::Paused(subject.clone(), limit.paused_until));
        }
        for subject in &subjects {
            let set = self.limits.get(subject).and_then(|limit| limit.max_running);
            let most = if subject.scope == Scope::Key { set.or(Some(key_limit)) } else { set };
            let running = self.running.get(subject).copied().unwrap_or(0);
            if let Some(most) = most.filter(|most| usize::try_from(*most).is_ok_and(|most| running >= most)) {
                return Err(Block::Full(subject.clone(), most));
            }
        }
        let waits = limits().map(|(subject, limit)| (subject, limit.rate_wait(self.now)));
        match waits.max_by_key(|(_, wait)| *wait) {
            Some((subject, wait)) if !wait.is_zero() => Err(Block::Rate(subject.clone(), wait)),
            _ => Ok(()),
        }
    }

    /// Starts one job of `lane` that uses so many units.
    pub fn take(&mut self, lane: &Lane, units: i32) {
        if self.is_free(lane) {
            return;
        }
        for subject in subjects(lane) {
            if let Some(limit) = self.limits.get_mut(&subject).filter(|limit| limit.per_minute.is_some()) {
                limit.pay(units, self.now);
                self.used.insert(subject.clone());
            }
            *self.running.entry(subject).or_default() += 1;
        }
    }

    /// True where nothing can hold the lane back: the ordinary case, which should cost nothing.
    fn is_free(&self, lane: &Lane) -> bool {
        self.limits.is_empty() && lane.key.is_empty()
    }
}

/// Everything that `lane` counts against.
fn subjects(lane: &Lane) -> impl Iterator<Item = Subject> {
    let subject = |org, scope, name: &str| Subject { org, scope, name: name.to_owned() };
    let (org, queue, kind) = (lane.org.uuid(), lane.queue.name(), lane.kind.as_str());
    let key = (!lane.key.is_empty()).then(|| subject(org, Scope::Key, &lane.key));
    [
        subject(EVERYBODY, Scope::Queue, queue),
        subject(org, Scope::Queue, queue),
        subject(EVERYBODY, Scope::Kind, kind),
        subject(org, Scope::Kind, kind),
        subject(org, Scope::Org, ""),
    ]
    .into_iter()
    .chain(key)
}
