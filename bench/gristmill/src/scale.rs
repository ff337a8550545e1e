//! Millions of rows around the jobs that are measured: does a table that has grown make them slower?

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use gristmill_core::ids::OrgId;
use gristmill_engine::{
    flow::{Scope, Subject},
    limits,
};
use gristmill_store::db::{Tx as _, sql};
use sea_orm::FromQueryResult;
use serde_json::{Value as Json, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::{
    in_process::InProcess,
    place::variable,
    workloads::{Result, Sizes, System as _, Tally, rate, waits},
};

/// Jobs per statement that makes them.
const PAGE: usize = 50_000;
/// Jobs whose waiting is measured, and the time between two of them.
const WAITS: usize = 300;
const APART: Duration = Duration::from_millis(20);
/// Rounds of draining; a short one would measure one checkpoint.
const ROUNDS: usize = 5;
const LOOK: Duration = Duration::from_millis(1);

/// Makes so many finished and waiting jobs, then measures how fast those that wait are run, and, when they are paused,
/// how long jobs of another organization wait in the midst of them.
///
/// # Errors
/// When a size is missing, or the system fails.
pub(crate) async fn measure(system: &InProcess, sizes: &Sizes) -> Result<Json> {
    let size = |name: &str| sizes.get(name).copied().ok_or_else(|| format!("--{name} is missing"));
    let (finished, waiting, n) = (size("finished")?, size("waiting")?, size("n")?);
    fill(system, finished, "succeeded").await?;
    fill(system, waiting, "queued").await?;
    analyse().await?;
    let mut tally = Tally::timed(WAITS);
    tally.small_only = true;
    let tally = Arc::new(tally);
    system.work(size("slots")?, tally.clone()).await?;
    let mut rates = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (before, began) = (tally.others.load(Ordering::Relaxed), Instant::now());
        while tally.others.load(Ordering::Relaxed) < before + n {
            tokio::time::sleep(LOOK).await;
        }
        rates.push(rate(n, began)["jobs_per_s"].clone());
    }
    let backlog = Subject { org: system.org(0)?.uuid(), scope: Scope::Org, name: String::new() };
    limits::pause(&system.engine().db().now(), &backlog, None).await?;
    // What was claimed before is through when nothing runs any more.
    while running(system).await? > 0 {
        tokio::time::sleep(LOOK).await;
    }
    let waits = waits(system, &tally, 1, WAITS, APART).await?;
    Ok(json!({ "finished": finished, "waiting": waiting, "jobs_per_s": rates, "waits_ms": waits["waits_ms"] }))
}

/// Rows as they are after (or before) a life like that of the measured jobs, an hour to a month old.
async fn fill(system: &InProcess, jobs: usize, state: &str) -> Result<()> {
    for from in (0..jobs).step_by(PAGE) {
        let most = PAGE.min(jobs - from);
        let tenants: Vec<OrgId> = match state {
            "queued" => vec![system.org(0)?],
            _ => (0..10).map(|tenant| system.org(tenant)).collect::<Result<_>>()?,
        };
        let tenants: Vec<_> = tenants.into_iter().map(OrgId::uuid).collect();
        let statement = "INSERT INTO jobs (id, org_id, kind, queue, state, args, max_attempts, timeout_s, run_at,
                created_at, started_at, finished_at, attempt, fence, result)
            SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
                       || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid,
                ($1::uuid[])[1 + n % cardinality($1)], 'bench.run', 'default', $2,
                jsonb_build_object('i', n, 'tenant', 0, 'ms', 0), 3, 900, at, at,
                CASE WHEN $2 = 'succeeded' THEN at END, CASE WHEN $2 = 'succeeded' THEN at END,
                ($2 = 'succeeded')::int, ($2 = 'succeeded')::int, CASE WHEN $2 = 'succeeded' THEN 'null'::jsonb END
            FROM (SELECT n, now() - interval '1 hour' - make_interval(secs => ($5::float8 - n) * 0.2) AS at
                  FROM generate_series($3::bigint, $4::bigint) AS n) AS made";
        let values = [
            tenants.into(),
            state.into(),
            i64::try_from(from)?.into(),
            i64::try_from(from + most - 1)?.into(),
            i64::try_from(jobs)?.into(),
        ];
        system.engine().db().now().execute(sql(statement, values)).await?;
    }
    Ok(())
}

/// What autovacuum would have done long ago.
async fn analyse() -> Result<()> {
    let url = variable("BENCH_POSTGRES").ok_or("BENCH_POSTGRES is not set")?;
    let mut owner = PgConnection::connect(&url).await?;
    owner.execute("VACUUM (ANALYZE) jobs").await?;
    Ok(owner.close().await?)
}

async fn running(system: &InProcess) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Row {
        jobs: i64,
    }
    let count = "SELECT count(*) AS jobs FROM jobs WHERE state = 'running'";
    let row: Option<Row> = system.engine().db().now().one(sql(count, [])).await?;
    Ok(row.map_or(0, |row| row.jobs))
}
