//! River's Rust client, its queue in Postgres. A finished job is a completed row.

use std::{sync::Arc, time::Duration};

use riverqueue::{
    BoxError, Client, Job, JobArgs, QueueConfig, WorkContext, WorkOutcome, Workers,
    migrate::PostgresMigrator,
    sqlx::{self, PgPool},
};
use serde::{Deserialize, Serialize};

use crate::workloads::{Load, Result, System, Tally};

/// How often River may fetch.
#[derive(Debug, Clone)]
pub(crate) struct Cooldown(Option<Duration>);

/// 100 ms between fetches of a queue, as River comes.
pub(crate) fn defaults() -> Cooldown {
    Cooldown(None)
}

/// 2 ms: its documentation says that throughput is limited by this value.
pub(crate) fn tuned() -> Cooldown {
    Cooldown(Some(Duration::from_millis(2)))
}

/// River.
#[derive(Clone)]
pub(crate) struct River {
    pool: PgPool,
    inserts: Client,
    cooldown: Cooldown,
}

#[derive(Clone, Debug, Deserialize, JobArgs, Serialize)]
#[river(kind = "bench")]
struct Args {
    load: Load,
}

impl River {
    /// Over the database at BENCH_POSTGRES, migrated.
    pub(crate) async fn open(cooldown: &Cooldown) -> Result<Self> {
        let pool = PgPool::connect(&std::env::var("BENCH_POSTGRES")?).await?;
        PostgresMigrator::new(pool.clone()).migrate_up().await?;
        let mut builder = Client::builder(pool.clone());
        if let Some(pause) = cooldown.0 {
            builder = builder.fetch_cooldown(pause);
        }
        Ok(Self { inserts: builder.build()?, pool, cooldown: cooldown.clone() })
    }
}

impl System for River {
    async fn enqueue(&self, load: Load) -> Result<()> {
        self.inserts.insert(Args { load }).await?;
        Ok(())
    }

    async fn enqueue_many(&self, loads: Vec<Load>) -> Result<()> {
        self.inserts.insert_many(loads.into_iter().map(|load| Args { load })).await?;
        Ok(())
    }

    async fn work(&self, slots: usize, tally: Arc<Tally>) -> Result<()> {
        let mut workers = Workers::new();
        workers.add_fn(move |_: WorkContext, job: Job<Args>| {
            let tally = tally.clone();
            async move {
                tally.run(job.args.load).await;
                Ok::<_, BoxError>(WorkOutcome::Complete)
            }
        })?;
        let mut builder = Client::builder(self.pool.clone()).workers(workers).queue("default", QueueConfig::new(slots));
        if let Some(pause) = self.cooldown.0 {
            builder = builder.fetch_cooldown(pause);
        }
        let mut run = builder.build()?.start()?;
        run.wait_ready().await?;
        run.detach();
        Ok(())
    }

    async fn finished(&self) -> Result<usize> {
        let count = "SELECT count(*) FROM river_job WHERE state = 'completed'";
        let n: i64 = sqlx::query_scalar(count).fetch_one(&self.pool).await?;
        Ok(usize::try_from(n)?)
    }
}
