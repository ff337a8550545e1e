//! Steps: what a job did once and need not do again.

use chrono::{DateTime, Utc};
use gristmill_store::{
    Result,
    db::{Tx as _, sql},
};
use sea_orm::FromQueryResult;
use serde_json::{Value as Json, json};

use crate::{
    Engine,
    claim::Claimed,
    events::{self, Event, storable},
    finish,
};

/// What the step called `name` returned in an earlier attempt.
pub(crate) async fn done(engine: &Engine, job: &Claimed, name: &str) -> Result<Option<Json>> {
    #[derive(FromQueryResult)]
    struct Row {
        output: Json,
    }
    let tx = engine.db().org(job.org_id).await?;
    let statement = "SELECT output FROM job_steps WHERE job_id = $1 AND org_id = $2 AND name = $3";
    let row = tx.one::<Row>(sql(statement, [job.id.into(), job.org_id.into(), name.into()])).await?;
    tx.commit().await?;
    Ok(row.map(|row| row.output))
}

/// Keeps what a step returned, under the fence of the run; false where the lease was lost.
pub(crate) async fn keep(
    engine: &Engine,
    job: &Claimed,
    name: &str,
    started: DateTime<Utc>,
    output: Json,
) -> Result<bool> {
    #[derive(FromQueryResult)]
    struct Row {
        took_ms: i64,
    }
    let tx = engine.db().org(job.org_id).await?;
    if !finish::hold(&tx, job).await? {
        return Ok(false);
    }
    // The length of a step is a difference on one clock; its place in time is the database's.
    let took = (gristmill_core::clock::now() - started).to_std().unwrap_or_default();
    let row: Option<Row> = tx
        .one(sql(
            "INSERT INTO job_steps (job_id, org_id, name, attempt, output, started_at, finished_at)
             VALUES ($1, $2, $3, $4, $5, clock_timestamp() - make_interval(secs => $6), clock_timestamp())
             ON CONFLICT (job_id, name) DO UPDATE SET output = excluded.output, attempt = excluded.attempt,
                 started_at = excluded.started_at, finished_at = excluded.finished_at
             RETURNING (extract(epoch FROM finished_at - started_at) * 1000)::bigint AS took_ms",
            [
                job.id.into(),
                job.org_id.into(),
                name.into(),
                job.attempt.into(),
                storable(output).into(),
                took.as_secs_f64().into(),
            ],
        ))
        .await?;
    let data = json!({ "name": name, "took_ms": row.map_or(0, |row| row.took_ms) });
    events::write(&tx, &[Event::now(job.org_id, job.id, "step", job.attempt, data)]).await?;
    tx.commit().await?;
    engine.announce(&[job.id]);
    Ok(true)
}
