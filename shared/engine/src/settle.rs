//! What follows the end of a job: its follow-ups, the jobs that were to run after it, its batch.
//!
//! A trigger notes the end of a watched job in the transaction that ended it, whoever that was. What follows is done
//! here, by one process at a time and in a transaction of its own: ending a job locks no row but its own, and jobs of
//! one batch do not wait for each other to be counted.

use std::collections::{BTreeMap, HashMap};

use gristmill_core::ids::{BatchId, JobId, OrgId};
use gristmill_store::{
    Result,
    db::{SystemTx, Tx as _, sql},
};
use sea_orm::FromQueryResult;
use serde_json::{Value as Json, json};

use crate::{
    Engine,
    events::{self, Event},
    job::Failure,
    submit::{FollowUp, NewJob, SubmitError},
    unique,
};

/// Ends settled in one transaction.
const BATCH: usize = 500;
/// An arbitrary number that settling processes agree on.
const SETTLING: i64 = 0x6772_6973_7473_6574;
/// The error of a job that was cancelled because one that it was to follow did not succeed.
pub const DEPENDENCY_FAILED: &str = "dependency-failed";

/// That a job ended (1) or began anew (-1), and what there is to do about it.
#[derive(Debug, FromQueryResult)]
struct End {
    id: i64,
    org_id: OrgId,
    job_id: JobId,
    state: String,
    change: i16,
    batch_id: Option<BatchId>,
    follow_up: Option<Json>,
    request_id: Option<String>,
}

impl Engine {
    /// Does what follows the jobs that ended; true where there may be more.
    ///
    /// # Errors
    /// When the database cannot be asked; then nothing was done.
    pub async fn settle(&self) -> Result<bool> {
        let tx = self.db.system().await?;
        if !alone(&tx).await? {
            return Ok(true);
        }
        let mut ends: Vec<End> = take(&tx).await?;
        ends.sort_by_key(|end| end.id);
        for end in &ends {
            if let Some(follow_up) = &end.follow_up {
                self.hand_in(&tx, end.org_id, follow_up, &end.job_id, end.request_id.clone()).await?;
            }
        }
        self.count_batches(&tx, &ends).await?;
        // Of a job that ended, was retried and ended again, the last end is what its followers go by.
        let last: HashMap<JobId, &End> = ends.iter().map(|end| (end.job_id, end)).collect();
        let (mut begun, mut succeeded, mut fell) = (Vec::new(), Vec::new(), Vec::new());
        for (id, end) in last {
            match (end.change, end.state.as_str()) {
                (1, "succeeded") => succeeded.push(id.uuid()),
                (1, _) => fell.push(id.uuid()),
                _ => begun.push(id.uuid()),
            }
        }
        let again: Vec<uuid::Uuid> = ends.iter().filter(|end| end.change < 0).map(|end| end.job_id.uuid()).collect();
        begun.extend(again.into_iter().filter(|id| succeeded.contains(id)));
        let fallen = drag_down(&tx, &fell).await?;
        let revived = revive(&tx, &begun).await?;
        release(&tx, &succeeded).await?;
        tx.commit().await?;
        // Those that fell or rose may be followed themselves.
        Ok(ends.len() == BATCH || fallen + revived > 0)
    }

    /// Hands in a job that was described when the one it follows was. It was checked then; if it does not fit any more,
    /// all that can be done is to say so.
    async fn hand_in(
        &self,
        tx: &SystemTx,
        org: OrgId,
        follow_up: &Json,
        about: &impl ToString,
        request_id: Option<String>,
    ) -> Result<Option<JobId>> {
        let job = match serde_json::from_value::<FollowUp>(follow_up.clone()) {
            Ok(follow_up) => NewJob { request_id, ..follow_up.job().about(about) },
            Err(error) => {
                tracing::error!(%error, about = about.to_string(), "a follow-up cannot be read; it is left out");
                return Ok(None);
            }
        };
        match self.submit_for(tx, org, job).await {
            Ok(id) => Ok(Some(id)),
            Err(SubmitError::Store(error)) => Err(error),
            Err(error) => {
                tracing::error!(%error, about = about.to_string(), "a follow-up is not accepted any more; it is left out");
                Ok(None)
            }
        }
    }

    async fn count_batches(&self, tx: &SystemTx, ends: &[End]) -> Result<()> {
        #[derive(FromQueryResult)]
        struct Complete {
            org_id: OrgId,
            on_complete: Option<Json>,
        }
        let mut counted: BTreeMap<BatchId, [i32; 3]> = BTreeMap::new();
        for end in ends {
            let Some(batch) = end.batch_id else { continue };
            let counts = counted.entry(batch).or_default();
            let place = match end.state.as_str() {
                "succeeded" => 0,
                "failed" => 1,
                _ => 2,
            };
            counts[place] += i32::from(end.change);
        }
        for (batch, [succeeded, failed, cancelled]) in counted {
            let complete: Option<Complete> = tx
                .one(sql(
                    "UPDATE job_batches SET succeeded = succeeded + $2, failed = failed + $3, cancelled = cancelled + $4,
                         finished_at = CASE WHEN succeeded + failed + cancelled + $2 + $3 + $4 >= total
                                            THEN coalesce(finished_at, now()) ELSE finished_at END
                     WHERE id = $1 RETURNING org_id, CASE WHEN finished_at = now() THEN on_complete END AS on_complete",
                    [batch.into(), succeeded.into(), failed.into(), cancelled.into()],
                ))
                .await?;
            if let Some(Complete { org_id, on_complete: Some(follow_up) }) = complete {
                let job = self.hand_in(tx, org_id, &follow_up, &batch, None).await?;
                let told = "UPDATE job_batches SET on_complete_job = $2 WHERE id = $1";
                tx.execute(sql(told, [batch.into(), job.into()])).await?;
            }
        }
        Ok(())
    }
}

async fn alone(tx: &SystemTx) -> Result<bool> {
    #[derive(FromQueryResult)]
    struct Row {
        alone: bool,
    }
    let row = tx.one::<Row>(sql("SELECT pg_try_advisory_xact_lock($1) AS alone", [SETTLING.into()])).await?;
    Ok(row.is_some_and(|row| row.alone))
}

async fn take(tx: &SystemTx) -> Result<Vec<End>> {
    tx.all(sql(
        "DELETE FROM job_ends WHERE id IN (SELECT id FROM job_ends ORDER BY id LIMIT $1)
         RETURNING id, org_id, job_id, state, change, batch_id, follow_up, request_id",
        [i64::try_from(BATCH).unwrap_or(i64::MAX).into()],
    ))
    .await
}

/// Jobs that were to follow one that did not succeed are called off; their own followers fall in the next round.
async fn drag_down(tx: &SystemTx, fell: &[uuid::Uuid]) -> Result<usize> {
    if fell.is_empty() {
        return Ok(0);
    }
    let followers = "j.id IN (SELECT job_id FROM job_edges WHERE after_id = ANY($1))";
    fall(tx, followers, fell).await
}

/// Calls off those of the waiting jobs that are meant by `which` (of `$1`) and follow a job that did not succeed, or that
/// is gone.
async fn fall(tx: &SystemTx, which: &str, ids: &[uuid::Uuid]) -> Result<usize> {
    #[derive(FromQueryResult)]
    struct Row {
        id: JobId,
        org_id: OrgId,
        after_id: JobId,
        error: Json,
    }
    let message = "A job that it was to follow did not succeed; retry that one, and this one waits for it again.";
    let failure = Failure::new(DEPENDENCY_FAILED, message);
    let error = json!({ "code": failure.code, "message": failure.message, "attempt": 0,
                        "fingerprint": failure.fingerprint("") });
    let statement = format!(
        "UPDATE jobs SET state = 'cancelled', finished_at = clock_timestamp(), cancel_requested_at = now(),
             error = $2::jsonb || jsonb_build_object('after', fallen.after_id)
         FROM (SELECT j.id, bad.after_id FROM jobs AS j, LATERAL (
                   SELECT e.after_id FROM job_edges AS e LEFT JOIN jobs AS a ON a.id = e.after_id
                   WHERE e.job_id = j.id AND NOT e.met AND (a.id IS NULL OR a.state IN ('failed', 'cancelled'))
                   LIMIT 1) AS bad
               WHERE j.state = 'waiting' AND {which} ORDER BY j.id FOR UPDATE OF j) AS fallen
         WHERE jobs.id = fallen.id RETURNING jobs.id, org_id, fallen.after_id, error"
    );
    let dragged: Vec<Row> = tx.all(sql(&statement, [ids.to_vec().into(), error.into()])).await?;
    let cancelled = |row: &Row| {
        let data = json!({ "error": row.error, "after": row.after_id });
        Event::now(row.org_id, row.id, "cancelled", 0, data)
    };
    events::write(tx, &dragged.iter().map(cancelled).collect::<Vec<_>>()).await?;
    Ok(dragged.len())
}

/// Jobs that were dragged down by one that begins anew wait for it again; not those whose unique key another job took
/// meanwhile.
async fn revive(tx: &SystemTx, begun: &[uuid::Uuid]) -> Result<usize> {
    #[derive(FromQueryResult)]
    struct Row {
        id: JobId,
        org_id: OrgId,
    }
    if begun.is_empty() {
        return Ok(0);
    }
    let holds = unique::holds("o");
    let revived: Vec<Row> = tx
        .all(sql(
            &format!("UPDATE jobs SET state = 'waiting', finished_at = NULL, cancel_requested_at = NULL, error = NULL
             FROM (SELECT id, row_number() OVER (PARTITION BY org_id, coalesce(unique_key, id::text) ORDER BY id) AS place
                   FROM (SELECT j.id, j.org_id, j.unique_key FROM jobs AS j
                         WHERE j.state = 'cancelled' AND j.error->>'code' = $2
                           AND j.id IN (SELECT job_id FROM job_edges WHERE after_id = ANY($1))
                           AND NOT EXISTS (
                               SELECT FROM jobs AS o WHERE o.org_id = j.org_id AND o.unique_key = j.unique_key
                                 AND o.id <> j.id AND {holds})
                         ORDER BY j.id FOR UPDATE OF j) AS dragged) AS dragged
             WHERE jobs.id = dragged.id AND place = 1 RETURNING jobs.id, org_id"),
            [begun.to_vec().into(), DEPENDENCY_FAILED.into()],
        ))
        .await?;
    let events: Vec<Event> =
        revived.iter().map(|row| Event::now(row.org_id, row.id, "revived", 0, json!({}))).collect();
    events::write(tx, &events).await?;
    // Those that follow yet another one that did not succeed fall again.
    let ids: Vec<uuid::Uuid> = revived.iter().map(|row| row.id.uuid()).collect();
    fall(tx, "j.id = ANY($1)", &ids).await?;
    Ok(revived.len())
}

/// Jobs that waited for the last of those they follow may go.
async fn release(tx: &SystemTx, succeeded: &[uuid::Uuid]) -> Result<()> {
    #[derive(FromQueryResult)]
    struct Row {
        id: JobId,
        org_id: OrgId,
    }
    if succeeded.is_empty() {
        return Ok(());
    }
    let met = "UPDATE job_edges SET met = true WHERE after_id = ANY($1) AND NOT met";
    tx.execute(sql(met, [succeeded.to_vec().into()])).await?;
    let released: Vec<Row> = tx
        .all(sql(
            "UPDATE jobs SET state = CASE WHEN run_at > now() THEN 'scheduled' ELSE 'queued' END
             FROM (SELECT j.id FROM jobs AS j WHERE j.state = 'waiting'
                     AND j.id IN (SELECT job_id FROM job_edges WHERE after_id = ANY($1))
                     AND NOT EXISTS (SELECT FROM job_edges AS e WHERE e.job_id = j.id AND NOT e.met)
                   ORDER BY j.id FOR UPDATE OF j) AS free
             WHERE jobs.id = free.id RETURNING jobs.id, org_id",
            [succeeded.to_vec().into()],
        ))
        .await?;
    let events: Vec<Event> =
        released.iter().map(|row| Event::now(row.org_id, row.id, "released", 0, json!({}))).collect();
    events::write(tx, &events).await
}
