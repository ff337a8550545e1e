//! awa, its queue in Postgres. Bulk goes through COPY, as its documentation advises for many jobs.
//!
//! It prunes what it records of completed jobs while it works, so what is finished is what neither waits nor runs.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use awa::{Client, JobArgs, JobResult, QueueConfig, QueueStorage, QueueStorageConfig};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::workloads::{Load, Result, System, Tally};

const QUEUE: &str = "default";

/// awa.
#[derive(Clone)]
pub(crate) struct Awa {
    pool: PgPool,
    storage: Arc<QueueStorage>,
    added: Arc<AtomicUsize>,
}

#[derive(Debug, Serialize, Deserialize, JobArgs)]
struct Bench {
    load: Load,
}

impl Awa {
    /// Over the database at BENCH_POSTGRES, migrated.
    pub(crate) async fn open() -> Result<Self> {
        let pool = PgPool::connect(&std::env::var("BENCH_POSTGRES")?).await?;
        awa::migrations::run(&pool).await?;
        let storage = Arc::new(QueueStorage::new(QueueStorageConfig::default())?);
        Ok(Self { pool, storage, added: Arc::default() })
    }
}

impl System for Awa {
    async fn enqueue(&self, load: Load) -> Result<()> {
        awa::insert(&self.pool, &Bench { load }).await?;
        self.added.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn enqueue_many(&self, loads: Vec<Load>) -> Result<()> {
        let jobs: std::result::Result<Vec<_>, _> =
            loads.into_iter().map(|load| awa::insert::params(&Bench { load })).collect();
        let added = self.storage.enqueue_params_copy(&self.pool, &jobs?).await?;
        self.added.fetch_add(added, Ordering::Relaxed);
        Ok(())
    }

    async fn work(&self, slots: usize, tally: Arc<Tally>) -> Result<()> {
        let config = QueueConfig { max_workers: u32::try_from(slots)?, ..QueueConfig::default() };
        let client = Client::builder(self.pool.clone())
            .queue(QUEUE, config)
            .register::<Bench, _, _>(move |args: Bench, _| {
                let tally = tally.clone();
                async move {
                    tally.run(args.load).await;
                    Ok(JobResult::Completed)
                }
            })
            .build()?;
        client.start().await?;
        // It stops when it is dropped.
        std::mem::forget(client);
        Ok(())
    }

    async fn finished(&self) -> Result<usize> {
        let counts = self.storage.queue_counts(&self.pool, QUEUE).await?;
        let added = self.added.load(Ordering::Relaxed);
        Ok(added.saturating_sub(usize::try_from(counts.available + counts.running)?))
    }
}
