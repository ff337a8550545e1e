//! `jobs.bulk`: one thing is done to every job of the organization that a filter fits.
//!
//! Only `POST /v1/bulk-actions` hands such jobs in, after it has looked at what its caller may do. Running one again does
//! no harm: what was cancelled, removed or reordered is so already, and only jobs that ended before it was asked for are
//! let run once more.

use std::{collections::BTreeMap, time::Duration};

use gristmill_core::ids::JobId;
use gristmill_engine::{Job, JobError, Queue, control::Action, state::State};
use gristmill_store::{
    OrgTx,
    jobs::{self, Filter},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{Ctx, Services};

/// Jobs acted on in one transaction.
const PAGE: i64 = 500;
/// Jobs counted for the progress, at most.
const COUNTED: i64 = 1_000_000;

/// Does something to every job that a filter fits and that was there when it was asked for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkAction {
    /// What.
    #[schemars(with = "Json")]
    pub action: Action,
    /// Which jobs.
    #[schemars(with = "BTreeMap<String, Json>")]
    pub filter: Filter,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
pub struct BulkReport {
    /// Jobs that were changed, by this attempt.
    changed: usize,
    /// Jobs that had changed by themselves when it was their turn, or cannot run beside another with their unique key.
    skipped: usize,
}

impl Job<Services> for BulkAction {
    const KIND: &'static str = "jobs.bulk";
    const ABOUT: &'static str = "Does one thing to every job that a filter fits; POST /v1/bulk-actions hands it in.";
    const QUEUE: Queue = Queue::Default;
    const MAX_ATTEMPTS: u16 = 10;
    const TIMEOUT: Duration = Duration::from_hours(6);

    type Output = BulkReport;

    async fn run(self, ctx: &Ctx) -> Result<BulkReport, JobError> {
        let filter = self.narrowed(ctx).await?;
        let tx = ctx.begin().await?;
        let total = u64::try_from(jobs::count(&tx, &filter, COUNTED).await?).unwrap_or(0);
        tx.commit().await?;
        let (mut report, mut after) = (BulkReport::default(), Uuid::nil());
        loop {
            ctx.check()?;
            let tx = ctx.begin().await?;
            let ids = page(&tx, &filter, after, ctx.job_id()).await?;
            let Some(last) = ids.last() else { break };
            let changed = match ctx.act_on(&tx, self.action, &ids).await {
                Ok(changed) => {
                    tx.commit().await?;
                    changed
                }
                Err(error) => {
                    drop(tx);
                    tracing::debug!(%error, "jobs cannot be changed together; one by one then");
                    self.one_by_one(ctx, &ids).await?
                }
            };
            ctx.tell(&changed);
            after = last.uuid();
            report.changed += changed.len();
            report.skipped += ids.len() - changed.len();
            let done = (report.changed + report.skipped) as u64;
            ctx.progress(done, total.max(done), "acting");
        }
        ctx.log(format!("{} jobs were changed, {} were skipped", report.changed, report.skipped));
        Ok(report)
    }
}

impl BulkAction {
    /// For jobs that stand in each other's way, such as those that are to run once more and have one unique key.
    async fn one_by_one(&self, ctx: &Ctx, ids: &[JobId]) -> Result<Vec<JobId>, JobError> {
        let mut changed = Vec::new();
        for id in ids {
            ctx.check()?;
            let tx = ctx.begin().await?;
            changed.extend(ctx.act_on(&tx, self.action, &[*id]).await?);
            tx.commit().await?;
        }
        Ok(changed)
    }

    /// The filter, narrowed to jobs that the action fits.
    async fn narrowed(&self, ctx: &Ctx) -> Result<Filter, JobError> {
        let fits = State::ALL.into_iter().filter(|state| self.action.fits(*state));
        let states = Some(fits.map(|state| state.name().to_owned()).collect());
        let mut filter = Filter { states, ..self.filter.clone() };
        if self.action == Action::Retry {
            let tx = ctx.begin().await?;
            filter.finished_before = jobs::find(&tx, ctx.job_id()).await?.map(|job| job.created_at);
            tx.commit().await?;
        }
        Ok(filter)
    }
}

/// The next jobs, in the order of their ids, of those made before `own`.
async fn page(tx: &OrgTx, filter: &Filter, after: Uuid, own: JobId) -> Result<Vec<JobId>, JobError> {
    let mut ids = jobs::ids(tx, filter, after, own.uuid(), PAGE).await?;
    ids.retain(|id| *id != own);
    Ok(ids)
}
