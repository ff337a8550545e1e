//! Telling others that jobs changed, without ever waiting for it.
//!
//! Claims, completions and heartbeats must not depend on the delivery, which may be out of reach for minutes. So what is
//! to be announced goes into a bounded queue, and what does not fit is dropped: whoever waits for a job also looks by
//! itself.

use std::sync::Arc;

use gristmill_core::ids::JobId;
use tokio::sync::mpsc;

use crate::{
    Engine,
    delivery::{Announcement, Delivery},
};

/// Batches that may wait to be published.
const WAITING: usize = 1_024;
/// Announcements in one round trip.
const BATCH: usize = 500;

/// Where announcements are left. Cheap to clone; its task ends with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    changes: mpsc::Sender<Announcement>,
}

impl Announcer {
    pub(crate) fn start(delivery: Arc<dyn Delivery>) -> Self {
        let (changes, mut left) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while left.recv_many(&mut batch, BATCH).await > 0 {
                if let Err(error) = delivery.announce(&batch).await {
                    tracing::debug!(%error, "changes of jobs cannot be announced; whoever waits looks by itself");
                }
                batch.clear();
            }
        });
        Self { changes }
    }

    fn leave(&self, job: JobId, by_hand: bool) {
        // Full while the delivery is out of reach: then there is nobody to hear it.
        let _dropped = self.changes.try_send(Announcement { job, by_hand });
    }
}

impl Engine {
    /// Tells everybody that something about jobs changed, after it was committed. Best effort, and it never waits.
    pub fn announce(&self, jobs: &[JobId]) {
        for job in jobs {
            self.announcer.leave(*job, false);
        }
    }

    /// The same for a job that a person acted on, so that the worker that runs it looks at once.
    pub fn announce_action(&self, job: JobId) {
        self.announcer.leave(job, true);
    }
}
