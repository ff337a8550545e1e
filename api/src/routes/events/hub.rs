//! Which jobs changed, told to everybody in this process who follows an organization.
//!
//! Announcements name jobs, not organizations. Whose they are is looked up once for all who follow, many at a time, and
//! only while somebody does. What was announced lately is remembered, so that a stream that broke off can be resumed.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use gristmill_core::ids::{JobId, OrgId};
use gristmill_engine::Engine;
use gristmill_store::job_events;
use tokio::sync::broadcast;

use super::SLACK;

/// Announcements looked up together, at most.
const TOGETHER: usize = 500;
/// Announcements that are remembered.
const REMEMBERED: usize = 20_000;
/// What was told and not heard yet, per follower, in lots of up to [`TOGETHER`] jobs.
const UNHEARD: usize = 64;
/// What is announced within this time is looked up together.
const GATHER: Duration = Duration::from_millis(20);

/// Jobs that changed, of all organizations; nothing where some may have been missed.
pub(super) type Lot = Option<Arc<Vec<(OrgId, JobId)>>>;

/// The hub of this process; it begins to listen when somebody follows for the first time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<Option<Arc<Listening>>>>);

#[derive(Debug)]
struct Listening {
    lots: broadcast::Sender<Lot>,
    heard: Mutex<Heard>,
}

/// What was announced, and when.
#[derive(Debug)]
struct Heard {
    since: Instant,
    jobs: VecDeque<(Instant, JobId)>,
}

impl Hub {
    /// What changes from now on; and what changed within the time `ago`, where that is known.
    pub(super) fn follow(
        &self,
        engine: &Engine,
        ago: Option<Duration>,
    ) -> (broadcast::Receiver<Lot>, Option<Vec<JobId>>) {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let listening = begun.get_or_insert_with(|| Listening::begin(engine.clone()));
        // Listen first, then remember: what happens in between is told twice rather than not at all.
        let lots = listening.lots.subscribe();
        let missed = ago.map_or(Some(Vec::new()), |ago| listening.within(ago));
        (lots, missed)
    }
}

impl Listening {
    fn begin(engine: Engine) -> Arc<Self> {
        let heard = Heard { since: Instant::now(), jobs: VecDeque::new() };
        let listening = Arc::new(Self { lots: broadcast::Sender::new(UNHEARD), heard: Mutex::new(heard) });
        // Subscribed here, not in the task: what is announced from now on is heard.
        let mut announcements = engine.delivery().announcements().ready_chunks(TOGETHER);
        let hub = listening.clone();
        tokio::spawn(async move {
            while let Some(changes) = announcements.next().await {
                let calm = changes.len() < TOGETHER;
                let jobs: HashSet<JobId> = changes.into_iter().map(|change| change.job).collect();
                hub.remember(&jobs);
                if hub.lots.receiver_count() > 0 {
                    let _nobody = hub.lots.send(owned(&engine, jobs).await);
                    if calm {
                        tokio::time::sleep(GATHER).await;
                    }
                }
            }
        });
        listening
    }

    fn remember(&self, jobs: &HashSet<JobId>) {
        let now = Instant::now();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.jobs.extend(jobs.iter().map(|job| (now, *job)));
        while heard.jobs.len() > REMEMBERED {
            if let Some((at, _)) = heard.jobs.pop_front() {
                heard.since = at;
            }
        }
    }

    /// What was announced within the time `ago`; nothing where that began before anybody listened.
    fn within(&self, ago: Duration) -> Option<Vec<JobId>> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let after = Instant::now().checked_sub(ago).filter(|after| *after >= heard.since)?;
        let late = heard.jobs.iter().filter(|(at, _)| *at + SLACK >= after).map(|(_, job)| *job);
        Some(late.collect::<HashSet<_>>().into_iter().collect())
    }
}

async fn owned(engine: &Engine, jobs: HashSet<JobId>) -> Lot {
    let jobs: Vec<JobId> = jobs.into_iter().collect();
    match job_events::owners(&engine.db().now(), &jobs).await {
        Ok(owners) => Some(Arc::new(owners)),
        Err(error) => {
            tracing::warn!(%error, "whose jobs changed cannot be looked up; followers are told that they missed some");
            None
        }
    }
}
