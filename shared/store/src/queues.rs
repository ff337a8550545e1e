//! Queues as numbers: how much waits and runs, how fast it comes and goes, who works on it.
//!
//! Whether for one organization or for all of them depends on the transaction: in an [`OrgTx`](crate::OrgTx) the
//! organization is named, in a [`SystemTx`](crate::SystemTx) none is. No count walks further than [`MOST`] rows.

use gristmill_core::ids::OrgId;
use sea_orm::FromQueryResult;

use crate::{
    db::{Tx, sql},
    error::Result,
    workers::ALIVE_S,
};

/// Rows of one queue that are counted, at most; more than that is told as so many at least.
pub const MOST: i64 = 100_000;

/// What is in a queue.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub struct Depth {
    /// The queue.
    pub queue: String,
    /// Jobs that may run, counted up to one more than [`MOST`].
    pub queued: i64,
    /// How long the oldest of those that were counted may run already, in seconds; none where nothing waits.
    pub oldest_age_s: Option<f64>,
    /// Jobs that run.
    pub running: i64,
}

/// Jobs of a queue whose time has not come.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub struct Ahead {
    /// The queue.
    pub queue: String,
    /// Jobs whose time has not come.
    pub scheduled: i64,
    /// Jobs that wait for other jobs.
    pub waiting: i64,
}

/// How fast jobs come and go.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub struct Pace {
    /// The queue.
    pub queue: String,
    /// Jobs handed in, a minute, over the last five to six.
    pub in_per_minute: f64,
    /// Jobs that ended, a minute, over the same time.
    pub out_per_minute: f64,
    /// Jobs that failed for good within the last hour.
    pub failed_last_hour: i64,
}

/// Who works on a queue.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub struct Hands {
    /// The queue.
    pub queue: String,
    /// Living workers with slots for it.
    pub workers: i64,
    /// Their slots.
    pub slots: i64,
}

/// What is in each of `queues`, of `org` or of everybody.
///
/// # Errors
/// When the database cannot be asked.
pub async fn depths(tx: &impl Tx, org: Option<OrgId>, queues: &[&str]) -> Result<Vec<Depth>> {
    let statement = "
        WITH of AS (SELECT id FROM organizations WHERE $1::uuid IS NULL OR id = $1),
        busy AS (SELECT j.queue, count(*) AS jobs FROM of, jobs AS j
                 WHERE j.org_id = of.id AND j.state = 'running' GROUP BY j.queue)
        SELECT q.queue, found.queued, found.oldest_age_s, coalesce(busy.jobs, 0) AS running
        FROM unnest($2::text[]) AS q(queue)
        LEFT JOIN busy ON busy.queue = q.queue,
        LATERAL (
            SELECT count(*) AS queued,
                   CASE WHEN count(*) > 0 THEN greatest(0, extract(epoch FROM now() - min(run_at)))::float8 END
                       AS oldest_age_s
            FROM (SELECT j.run_at FROM of, LATERAL (
                      SELECT run_at FROM jobs
                      WHERE queue = q.queue AND org_id = of.id AND state = 'queued' LIMIT $3) AS j
                  LIMIT $3) AS counted) AS found";
    let names: Vec<String> = queues.iter().map(|queue| (*queue).to_owned()).collect();
    tx.all(sql(statement, [org.map(OrgId::uuid).into(), names.into(), (MOST + 1).into()])).await
}

/// What is ahead in queues that have something ahead, of `org` or of everybody.
///
/// # Errors
/// When the database cannot be asked.
pub async fn ahead(tx: &impl Tx, org: Option<OrgId>) -> Result<Vec<Ahead>> {
    let statement = "
        SELECT queue, count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
               count(*) FILTER (WHERE state = 'waiting') AS waiting
        FROM organizations AS of, LATERAL (
            (SELECT queue, state FROM jobs WHERE org_id = of.id AND state = 'scheduled' LIMIT $2)
            UNION ALL
            (SELECT queue, state FROM jobs WHERE org_id = of.id AND state = 'waiting' LIMIT $2)) AS j
        WHERE $1::uuid IS NULL OR of.id = $1
        GROUP BY queue";
    tx.all(sql(statement, [org.map(OrgId::uuid).into(), MOST.into()])).await
}

/// How fast jobs come and go in queues where anything happened within the last hour, of `org` or of everybody.
///
/// # Errors
/// When the database cannot be asked.
pub async fn paces(tx: &impl Tx, org: Option<OrgId>) -> Result<Vec<Pace>> {
    let statement = "
        WITH of AS (SELECT date_trunc('minute', now()) - interval '5 minutes' AS since)
        SELECT queue,
               (coalesce(sum(submitted) FILTER (WHERE minute >= since), 0)
                   / (extract(epoch FROM now() - since) / 60))::float8 AS in_per_minute,
               (coalesce(sum(succeeded + failed + cancelled) FILTER (WHERE minute >= since), 0)
                   / (extract(epoch FROM now() - since) / 60))::float8 AS out_per_minute,
               coalesce(sum(failed), 0)::bigint AS failed_last_hour
        FROM job_counts, of
        WHERE minute > now() - interval '1 hour' AND ($1::uuid IS NULL OR org_id = $1)
        GROUP BY queue, since";
    tx.all(sql(statement, [org.map(OrgId::uuid).into()])).await
}

/// Who works on queues that anybody works on. Workers belong to the installation, so any transaction may ask.
///
/// # Errors
/// When the database cannot be asked.
pub async fn hands(tx: &impl Tx) -> Result<Vec<Hands>> {
    let statement = "
        SELECT slot.key AS queue, count(*) AS workers, sum(slot.value::bigint)::bigint AS slots
        FROM workers, jsonb_each_text(slots) AS slot
        WHERE seen_at > now() - make_interval(secs => $1) AND slot.value::bigint > 0
        GROUP BY slot.key";
    tx.all(sql(statement, [f64::from(ALIVE_S).into()])).await
}
