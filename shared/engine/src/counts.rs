//! What happens per minute, counted in memory and written every few seconds: rates for screens and autoscalers, at no
//! cost to the jobs. What a process that is killed had not written is missing there, and nowhere else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use gristmill_core::ids::OrgId;
use gristmill_store::{
    Db, Result,
    db::{Tx as _, sql},
};
use serde_json::{Value as Json, json};

use crate::{claim::Claimed, finish::Outcome, state::State, submit::Checked};

/// Between two writings.
const EVERY: Duration = Duration::from_secs(5);

/// Counts that were not written yet.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    by_kind: Mutex<HashMap<(OrgId, String, String), Count>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    submitted: u64,
    succeeded: u64,
    failed: u64,
    retried: u64,
    cancelled: u64,
    wait_ms: u64,
    run_ms: u64,
}

impl Counts {
    /// Counts, and a task that writes them as long as they are held.
    pub(crate) fn start(db: Db) -> Arc<Self> {
        let counts = Arc::new(Self::default());
        let held: Weak<Self> = Arc::downgrade(&counts);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let Some(counts) = held.upgrade() else { return };
                if let Err(error) = counts.write(&db).await {
                    tracing::debug!(%error, "counts cannot be written; they are written later");
                }
            }
        });
        counts
    }

    fn add(&self, org: OrgId, queue: &str, kind: &str, change: impl FnOnce(&mut Count)) {
        let mut by_kind = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        change(by_kind.entry((org, queue.to_owned(), kind.to_owned())).or_default());
    }

    /// Jobs were written.
    pub(crate) fn submitted<'j>(&self, org: OrgId, jobs: impl Iterator<Item = &'j Checked>) {
        let mut kinds: HashMap<(&str, &str), u64> = HashMap::new();
        for (job, kind) in jobs {
            let queue = job.queue.unwrap_or(kind.info.queue).name();
            *kinds.entry((queue, kind.info.kind.as_str())).or_default() += 1;
        }
        for ((queue, kind), jobs) in kinds {
            self.add(org, queue, kind, |count| count.submitted += jobs);
            metrics::counter!("gristmill_jobs_submitted_total", "kind" => kind.to_owned()).increment(jobs);
        }
    }

    /// An attempt ended.
    pub(crate) fn ended(&self, job: &Claimed, outcome: &Outcome, took: Duration) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.add(job.org_id, &job.queue, &job.kind, |count| {
            count.wait_ms += millis(Duration::try_from_secs_f64(job.waited_s).unwrap_or_default());
            count.run_ms += millis(took);
            match outcome {
                Outcome::Succeeded(_) => count.succeeded += 1,
                Outcome::Failed(_) => count.failed += 1,
                Outcome::Retry { .. } => count.retried += 1,
                Outcome::Cancelled => count.cancelled += 1,
                Outcome::Snoozed { .. } | Outcome::Released => {}
            }
        });
    }

    /// A job came to its end without an attempt that could tell: its worker died, or it was called off while it waited.
    pub(crate) fn over(&self, org: OrgId, queue: &str, kind: &str, state: State) {
        self.add(org, queue, kind, |count| match state {
            State::Failed => count.failed += 1,
            State::Cancelled => count.cancelled += 1,
            _ => {}
        });
    }

    /// Writes what was counted since the last time. What cannot be written is kept.
    pub(crate) async fn write(&self, db: &Db) -> Result<()> {
        let counted = std::mem::take(&mut *self.by_kind.lock().unwrap_or_else(PoisonError::into_inner));
        if counted.is_empty() {
            return Ok(());
        }
        let row = |((org, queue, kind), count): (&(OrgId, String, String), &Count)| {
            json!({ "org_id": org.uuid(), "queue": queue, "kind": kind, "submitted": count.submitted,
                    "succeeded": count.succeeded, "failed": count.failed, "retried": count.retried,
                    "cancelled": count.cancelled, "wait_ms": count.wait_ms, "run_ms": count.run_ms })
        };
        let rows = Json::Array(counted.iter().map(row).collect());
        let now = db.now();
        let written = now.execute(sql(
            "INSERT INTO job_counts AS c (minute, org_id, queue, kind, submitted, succeeded, failed, retried, cancelled,
                 wait_ms, run_ms)
             SELECT date_trunc('minute', now()), * FROM jsonb_to_recordset($1) AS r(org_id uuid, queue text, kind text,
                 submitted bigint, succeeded bigint, failed bigint, retried bigint, cancelled bigint, wait_ms bigint,
                 run_ms bigint) ORDER BY org_id, queue, kind
             ON CONFLICT (minute, org_id, queue, kind) DO UPDATE SET submitted = c.submitted + excluded.submitted,
                 succeeded = c.succeeded + excluded.succeeded, failed = c.failed + excluded.failed,
                 retried = c.retried + excluded.retried, cancelled = c.cancelled + excluded.cancelled,
                 wait_ms = c.wait_ms + excluded.wait_ms, run_ms = c.run_ms + excluded.run_ms",
            [rows.into()],
        ));
        if let Err(error) = written.await {
            for ((org, queue, kind), lost) in counted {
                self.add(org, &queue, &kind, |count| count.merge(lost));
            }
            return Err(error);
        }
        Ok(())
    }
}

impl Count {
    fn merge(&mut self, other: Self) {
        let Self { submitted, succeeded, failed, retried, cancelled, wait_ms, run_ms } = other;
        self.submitted += submitted;
        self.succeeded += succeeded;
        self.failed += failed;
        self.retried += retried;
        self.cancelled += cancelled;
        self.wait_ms += wait_ms;
        self.run_ms += run_ms;
    }
}
