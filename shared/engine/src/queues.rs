//! What jobs may do to other jobs of their organization: the engine's actions, for a running job.

use gristmill_core::ids::JobId;
use gristmill_store::{OrgTx, Result};

use crate::{Ctx, control::Action};

impl<S> Ctx<S> {
    /// Does `action` to those of the jobs that it can be done to, never to the running job itself, and says to which.
    /// After the commit of `tx`, [`Ctx::tell`] those who care.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn act_on(&self, tx: &OrgTx, action: Action, ids: &[JobId]) -> Result<Vec<JobId>> {
        let others: Vec<JobId> = ids.iter().copied().filter(|id| *id != self.job_id()).collect();
        self.engine.act_on(tx, action, &others).await
    }

    /// Tells dispatchers, workers and whoever follows these jobs that they were acted on.
    pub fn tell(&self, jobs: &[JobId]) {
        self.engine.nudge();
        for job in jobs {
            self.engine.announce_action(*job);
        }
    }
}
