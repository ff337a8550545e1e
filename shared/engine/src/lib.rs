//! The job engine: Postgres decides, Redis delivers.
//!
//! A job is a row. What travels through a [`delivery`] is only its id, which may be lost, doubled or late without
//! harm: before a job runs its row is *claimed*, and what it writes is written together with its completion, under
//! the fence of that claim.
//!
//! Read in the order of a job's life:
//!
//! | module | what happens |
//! |---|---|
//! | [`job`] | a kind of job: its arguments, limits and code |
//! | [`kinds`] | the kinds that exist, known to every process through the database |
//! | [`submit`] | a row is written, in the transaction of the data it is about |
//! | [`unique`], [`edges`] | what it may have to do with other jobs |
//! | [`dispatch`] | due rows' ids go to the delivery, a bounded window of them |
//! | [`flow`], [`pick`] | which may go, and which go next: pure functions |
//! | [`limits`] | limits and pauses, as they are kept |
//! | [`delivery`] | ids travel: through memory or through Redis |
//! | [`worker`] | apalis workers take ids as slots come free |
//! | [`claim`] | the row becomes `running`, with a fence and a lease |
//! | [`run`] | the job's code runs, watched for time, cancellation and loss of its lease |
//! | [`pulse`] | leases are renewed, progress and log lines written |
//! | [`ctx`] | what a running job can ask for, [`ctx::Ctx::finish`] above all |
//! | [`finish`] | the outcome is written, once |
//! | [`settle`] | what follows the end of a job: followers, follow-ups, batches |
//! | [`sweep`] | what a dead process left behind is picked up |
//! | [`prune`] | what was over long enough goes |
//! | [`control`] | people cancel, retry, promote, delete |
//! | [`state`], [`backoff`] | the rules, as pure functions |

mod announce;
mod backlog;
pub mod backoff;
mod capacity;
pub mod claim;
pub mod coalesce;
pub mod control;
mod counts;
pub mod ctx;
pub mod delivery;
pub mod dispatch;
pub mod edges;
mod events;
pub mod finish;
pub mod flow;
mod insert;
pub mod job;
pub mod kinds;
pub mod limits;
pub mod pick;
pub mod prune;
pub mod pulse;
pub mod queue;
pub mod run;
pub mod settle;
pub mod state;
mod steps;
pub mod submit;
pub mod sweep;
pub mod unique;
mod window;
pub mod worker;

use std::sync::Arc;

use gristmill_store::Db;
use tokio::sync::Notify;

pub use crate::{
    ctx::Ctx,
    delivery::Delivery,
    job::{Failure, Job, JobError},
    queue::Queue,
    submit::NewJob,
};

/// What every process that has to do with jobs holds: the database, the delivery and the known kinds. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    db: Db,
    delivery: Arc<dyn Delivery>,
    kinds: Arc<kinds::Catalogue>,
    nudge: Arc<Notify>,
    window: usize,
    announcer: announce::Announcer,
    counts: Arc<counts::Counts>,
    trail: Arc<backlog::Trail>,
}

impl Engine {
    /// An engine over `db` and `delivery` that lets at most `window` dispatched jobs wait per queue. Call it inside a
    /// runtime.
    pub fn new(db: Db, delivery: Arc<dyn Delivery>, window: usize) -> Self {
        let announcer = announce::Announcer::start(delivery.clone());
        let counts = counts::Counts::start(db.clone());
        let trail = Arc::default();
        Self { db, delivery, kinds: Arc::default(), nudge: Arc::default(), window, announcer, counts, trail }
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The delivery.
    pub fn delivery(&self) -> &dyn Delivery {
        &*self.delivery
    }

    /// The kinds of job that exist.
    pub fn kinds(&self) -> &kinds::Catalogue {
        &self.kinds
    }

    /// Tells this process' dispatcher that there is something to dispatch. Call it after the transaction that
    /// submitted a job was committed; forgetting it costs the job up to a second, nothing else.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }
}
