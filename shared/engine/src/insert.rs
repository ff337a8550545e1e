//! Writing the rows of new jobs, one statement for any number.

use std::collections::HashSet;

use gristmill_core::ids::{JobId, OrgId};
use gristmill_store::{
    Result,
    db::{Tx, sql},
};
use sea_orm::{FromQueryResult, Value};
use serde_json::Value as Json;

use crate::{
    kinds::Kind,
    submit::{Checked, FollowUp, NewJob, Start},
};

/// Writes the rows and says which were written: not those of whose sort there is one. The ends of those that are
/// `followed` will be noticed.
pub(crate) async fn rows<'j>(
    tx: &impl Tx,
    org: OrgId,
    jobs: impl IntoIterator<Item = &'j Checked>,
    followed: &HashSet<JobId>,
) -> Result<HashSet<JobId>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: JobId,
    }
    let columns = Columns::of(jobs, followed);
    if columns.ids.is_empty() {
        return Ok(HashSet::new());
    }
    // Arrays cannot hold nulls here: an empty text stands for none, as does a negative number. A time that has passed is
    // now: age is what was waited here, and nobody can buy it. In the order of unique keys, so that two submissions
    // that want the same ones do not wait for each other.
    let written: Vec<Row> = tx
        .all(sql(
            "INSERT INTO jobs (org_id, id, kind, queue, priority, args, tags, subject, max_attempts, timeout_s,
                 request_id, concurrency_key, key_limit, units, unique_key, unique_while, batch_id, on_success,
                 on_failure, watched, run_at, state)
             SELECT $1, id, kind, queue, priority, args::jsonb,
                 CASE WHEN tags = '' THEN '{}' ELSE ARRAY(SELECT jsonb_array_elements_text(tags::jsonb)) END,
                 nullif(subject, ''), max_attempts, timeout_s, nullif(request_id, ''), concurrency_key, key_limit, units,
                 nullif(unique_key, ''), nullif(unique_while, ''), nullif(batch_id, ''::text)::uuid,
                 nullif(on_success, '')::jsonb, nullif(on_failure, '')::jsonb,
                 batch_id <> '' OR on_success <> '' OR on_failure <> '' OR followed, at,
                 CASE WHEN follows THEN 'waiting' WHEN at > now() THEN 'scheduled' ELSE 'queued' END
             FROM unnest($2::uuid[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::int[],
                     $10::int[], $11::text[], $12::text[], $13::int[], $14::int[], $15::text[], $16::text[],
                     $17::text[], $18::text[], $19::text[], $20::float8[], $21::float8[], $22::bool[], $23::bool[])
                 AS j(id, kind, queue, priority, args, tags, subject, max_attempts, timeout_s, request_id,
                     concurrency_key, key_limit, units, unique_key, unique_while, batch_id, on_success, on_failure,
                     starts_at, delay_s, follows, followed),
                 LATERAL (SELECT CASE WHEN starts_at >= 0 THEN greatest(to_timestamp(starts_at), now())
                                      WHEN delay_s > 0 THEN now() + make_interval(secs => delay_s)
                                      ELSE now() END) AS start(at)
             ORDER BY unique_key, id
             ON CONFLICT DO NOTHING RETURNING id",
            columns.values(org),
        ))
        .await?;
    Ok(written.into_iter().map(|row| row.id).collect())
}

/// Lets the job `existing`, if it does not run, do what `job` was to do. It keeps its id, its batch and what it follows.
pub(crate) async fn replace(tx: &impl Tx, org: OrgId, existing: JobId, job: &NewJob, kind: &Kind) -> Result<bool> {
    let (starts_at, delay_s) = start(job);
    let (key, key_limit) = job.concurrency.clone().unwrap_or((String::new(), 1));
    let json = |job: &Option<FollowUp>| job.as_ref().and_then(|job| serde_json::to_value(job).ok());
    let replaced = tx
        .execute(sql(
            "UPDATE jobs SET kind = $3, queue = $4, priority = $5, args = $6::jsonb, tags = $7, run_at = at,
                 subject = $8, max_attempts = $9, timeout_s = $10, attempt = 0, error = NULL, finished_at = NULL,
                 cancel_requested_at = NULL, result = NULL, progress = NULL, concurrency_key = $13, key_limit = $14,
                 units = $15, unique_while = $16, on_success = $17, on_failure = $18,
                 watched = watched OR $17 IS NOT NULL OR $18 IS NOT NULL,
                 state = CASE WHEN state = 'waiting' THEN state WHEN at > now() THEN 'scheduled' ELSE 'queued' END
             FROM (SELECT CASE WHEN $11::float8 >= 0 THEN greatest(to_timestamp($11), now())
                               ELSE now() + make_interval(secs => $12) END) AS start(at)
             WHERE id = $1 AND org_id = $2 AND state <> 'running'",
            [
                existing.into(),
                org.into(),
                job.kind.clone().into(),
                job.queue.unwrap_or(kind.info.queue).name().into(),
                job.priority.into(),
                job.args.to_string().into(),
                job.tags.clone().into(),
                job.subject.clone().into(),
                max_attempts(job, kind).into(),
                timeout_s(job, kind).into(),
                starts_at.into(),
                delay_s.max(0.0).into(),
                key.into(),
                key_limit.into(),
                job.units.into(),
                job.unique.as_ref().map(|unique| unique.lasts.name().to_owned()).into(),
                json(&job.on_success).into(),
                json(&job.on_failure).into(),
            ],
        ))
        .await?;
    Ok(replaced > 0)
}

fn max_attempts(job: &NewJob, kind: &Kind) -> i32 {
    job.max_attempts.map_or(kind.info.max_attempts, i32::from)
}

fn timeout_s(job: &NewJob, kind: &Kind) -> i32 {
    job.timeout.map_or(kind.info.timeout_s, |limit| i32::try_from(limit.as_secs()).unwrap_or(i32::MAX))
}

/// Seconds since 1970, or a negative number; and seconds from now.
#[expect(clippy::cast_precision_loss, reason = "microseconds of the next centuries fit a double")]
fn start(job: &NewJob) -> (f64, f64) {
    match job.start {
        Start::Now => (-1.0, 0.0),
        Start::At(time) => ((time.timestamp_micros() as f64 / 1e6).max(0.0), 0.0),
        Start::In(delay) => (-1.0, delay.as_secs_f64()),
    }
}

/// The jobs, column by column.
#[derive(Default)]
struct Columns {
    ids: Vec<uuid::Uuid>,
    kinds: Vec<String>,
    queues: Vec<String>,
    priorities: Vec<i32>,
    args: Vec<String>,
    tags: Vec<String>,
    subjects: Vec<String>,
    max_attempts: Vec<i32>,
    timeouts: Vec<i32>,
    request_ids: Vec<String>,
    keys: Vec<String>,
    key_limits: Vec<i32>,
    units: Vec<i32>,
    unique_keys: Vec<String>,
    unique_whiles: Vec<String>,
    batches: Vec<String>,
    on_success: Vec<String>,
    on_failure: Vec<String>,
    starts: Vec<f64>,
    delays: Vec<f64>,
    follows: Vec<bool>,
    followed: Vec<bool>,
}

impl Columns {
    fn of<'j>(jobs: impl IntoIterator<Item = &'j Checked>, followed: &HashSet<JobId>) -> Self {
        let mut columns = Self::default();
        for (job, kind) in jobs {
            columns.followed.push(followed.contains(&job.id));
            columns.push(job, kind);
        }
        columns
    }

    fn push(&mut self, job: &NewJob, kind: &Kind) {
        let follow_up =
            |job: &Option<FollowUp>| job.as_ref().and_then(|job| serde_json::to_string(job).ok()).unwrap_or_default();
        let (starts_at, delay_s) = start(job);
        let (key, key_limit) = job.concurrency.clone().unwrap_or((String::new(), 1));
        self.ids.push(job.id.uuid());
        self.kinds.push(job.kind.clone());
        self.queues.push(job.queue.unwrap_or(kind.info.queue).name().to_owned());
        self.priorities.push(job.priority.into());
        self.args.push(job.args.to_string());
        self.tags.push(if job.tags.is_empty() { String::new() } else { Json::from(job.tags.clone()).to_string() });
        self.subjects.push(job.subject.clone().unwrap_or_default());
        self.max_attempts.push(max_attempts(job, kind));
        self.timeouts.push(timeout_s(job, kind));
        self.request_ids.push(job.request_id.clone().unwrap_or_default());
        self.keys.push(key);
        self.key_limits.push(key_limit);
        self.units.push(job.units);
        self.unique_keys.push(job.unique.as_ref().map(|unique| unique.key.clone()).unwrap_or_default());
        self.unique_whiles.push(job.unique.as_ref().map_or("", |unique| unique.lasts.name()).to_owned());
        self.batches.push(job.batch.map(|batch| batch.uuid().to_string()).unwrap_or_default());
        self.on_success.push(follow_up(&job.on_success));
        self.on_failure.push(follow_up(&job.on_failure));
        self.starts.push(starts_at);
        self.delays.push(delay_s);
        self.follows.push(!job.after.is_empty());
    }

    fn values(self, org: OrgId) -> [Value; 23] {
        [
            org.into(),
            self.ids.into(),
            self.kinds.into(),
            self.queues.into(),
            self.priorities.into(),
            self.args.into(),
            self.tags.into(),
            self.subjects.into(),
            self.max_attempts.into(),
            self.timeouts.into(),
            self.request_ids.into(),
            self.keys.into(),
            self.key_limits.into(),
            self.units.into(),
            self.unique_keys.into(),
            self.unique_whiles.into(),
            self.batches.into(),
            self.on_success.into(),
            self.on_failure.into(),
            self.starts.into(),
            self.delays.into(),
            self.follows.into(),
            self.followed.into(),
        ]
    }
}
