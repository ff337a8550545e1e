//! apalis-redis as it comes. A finished job is a member of the queue's set `done`.

use std::sync::Arc;

use apalis::{
    layers::WorkerBuilderExt as _,
    prelude::{BoxDynError, Data, TaskSink as _, WorkerBuilder},
};
use apalis_redis::{Config, ConnectionManager, RedisStorage};

use crate::workloads::{Load, Result, System, Tally};

/// apalis-redis.
#[derive(Clone)]
pub(crate) struct Apalis {
    storage: RedisStorage<Load>,
    looking: ConnectionManager,
    done: String,
}

async fn job(load: Load, tally: Data<Arc<Tally>>) -> std::result::Result<(), BoxDynError> {
    tally.run(load).await;
    Ok(())
}

impl Apalis {
    /// Over the Redis at BENCH_REDIS.
    pub(crate) async fn open() -> Result<Self> {
        let url = std::env::var("BENCH_REDIS")?;
        let config = Config::default();
        let done = config.done_jobs_set();
        let storage = RedisStorage::new(apalis_redis::connect(url.as_str()).await?).with_config(config);
        Ok(Self { storage, looking: apalis_redis::connect(url.as_str()).await?, done })
    }
}

impl System for Apalis {
    async fn enqueue(&self, load: Load) -> Result<()> {
        Ok(self.storage.clone().push(load).await?)
    }

    async fn enqueue_many(&self, loads: Vec<Load>) -> Result<()> {
        Ok(self.storage.clone().push_bulk(loads).await?)
    }

    async fn work(&self, slots: usize, tally: Arc<Tally>) -> Result<()> {
        let storage = self.storage.clone();
        let name = format!("bench-{}", std::process::id());
        tokio::spawn(async move {
            let worker = WorkerBuilder::new(name).backend(storage).data(tally).concurrency(slots).build(job);
            if let Err(error) = worker.run().await {
                eprintln!("the worker ended: {error}");
                std::process::exit(1);
            }
        });
        Ok(())
    }

    async fn finished(&self) -> Result<usize> {
        let mut connection = self.looking.clone();
        Ok(redis::cmd("SCARD").arg(&self.done).query_async(&mut connection).await?)
    }
}
