//! `document.erase`: the traces of a purged document go, beyond its own rows.
//!
//! Its words leave the postings; jobs that were about it, or name it in what they were given or returned, leave the history;
//! so do answers kept for repeated requests. The job itself names only the note of the erasure, which goes last.

use std::time::Duration;

use gristmill_core::ids::{DocumentId, JobId};
use gristmill_engine::{Job, JobError, Queue, control::Action};
use gristmill_store::{erasure, postings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Ctx, Services};

/// Jobs looked at in one statement.
const PAGE: i64 = 2_000;
/// How long a job about the document may take to notice that it was called off.
const PATIENCE: Duration = Duration::from_secs(2);

/// Erases what is left of a purged document.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseDocument {
    /// The note of the erasure.
    #[schemars(with = "String")]
    pub erasure: Uuid,
}

/// What was erased.
#[derive(Debug, Serialize)]
pub struct EraseReport {
    /// Jobs that were about the document or named it.
    jobs: usize,
}

impl Job<Services> for EraseDocument {
    const KIND: &'static str = "document.erase";
    const ABOUT: &'static str = "Erases the traces of a purged document; deleting one with purge=true hands it in.";
    const QUEUE: Queue = Queue::Io;
    const MAX_ATTEMPTS: u16 = 20;
    const TIMEOUT: Duration = Duration::from_hours(1);

    type Output = EraseReport;

    async fn run(self, ctx: &Ctx) -> Result<EraseReport, JobError> {
        let tx = ctx.begin().await?;
        let noted = erasure::noted(&tx, self.erasure).await?;
        tx.commit().await?;
        let Some(document) = noted else { return Ok(EraseReport { jobs: 0 }) };
        loop {
            ctx.check()?;
            let tx = ctx.begin().await?;
            let more = postings::gather(&tx, true).await?;
            tx.commit().await?;
            if !more {
                break;
            }
        }
        let (jobs, left) = jobs(ctx, document).await?;
        if left > 0 {
            let why = format!("{left} jobs that are about the document were called off and are not over yet.");
            return Err(JobError::Snooze { wait: PATIENCE, why });
        }
        ctx.finish(async |tx| {
            erasure::forget_answers(tx, document).await?;
            erasure::done(tx, self.erasure).await?;
            Ok(EraseReport { jobs })
        })
        .await
    }
}

/// Calls off and removes the jobs that name the document. Says how many were removed and how many are not over yet.
async fn jobs(ctx: &Ctx, document: DocumentId) -> Result<(usize, usize), JobError> {
    let (mut removed, mut left, mut after) = (0, 0, Uuid::nil());
    loop {
        ctx.check()?;
        let tx = ctx.begin().await?;
        let Some((mut ids, last)) = erasure::jobs_that_name(&tx, document, after, PAGE).await? else {
            return Ok((removed, left));
        };
        after = last;
        ids.retain(|id| *id != ctx.job_id());
        let called_off: Vec<JobId> = ctx.act_on(&tx, Action::Cancel, &ids).await?;
        let gone = ctx.act_on(&tx, Action::Delete, &ids).await?;
        tx.commit().await?;
        ctx.tell(&called_off);
        removed += gone.len();
        left += ids.len() - gone.len();
    }
}
