//! Gristmill as a library: jobs are handed in, dispatched and run by this process.

use std::{collections::BTreeMap, sync::Arc};

use gristmill_core::{config::Config, ids::OrgId};
use gristmill_engine::{
    Engine, NewJob, Queue,
    worker::{Limits, Worker},
};
use gristmill_store::db::{Tx as _, sql};
use sea_orm::FromQueryResult;
use tokio_util::sync::CancellationToken;

use crate::{
    place::{self, Bench, Run, kinds},
    workloads::{Load, Result, System, Tally},
};

/// Engine, worker and clockwork in this process.
#[derive(Clone)]
pub(crate) struct InProcess {
    engine: Engine,
    orgs: Arc<[OrgId]>,
    config: Arc<Config>,
}

impl InProcess {
    /// Over BENCH_POSTGRES, its jobs travelling by `delivery`.
    pub(crate) async fn open(delivery: &str) -> Result<Self> {
        let place = place::open(delivery).await?;
        Ok(Self { engine: place.engine, orgs: place.orgs, config: Arc::new(place.config) })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn org(&self, tenant: usize) -> Result<OrgId> {
        Ok(*self.orgs.get(tenant).ok_or("there are not so many tenants")?)
    }
}

impl System for InProcess {
    async fn enqueue(&self, load: Load) -> Result<()> {
        let tx = self.engine.db().org(self.org(load.tenant)?).await?;
        self.engine.submit(&tx, NewJob::of(&Run::from(load))?).await?;
        tx.commit().await?;
        self.engine.nudge();
        Ok(())
    }

    async fn enqueue_many(&self, loads: Vec<Load>) -> Result<()> {
        let mut by_tenant: BTreeMap<usize, Vec<NewJob>> = BTreeMap::new();
        for load in loads {
            by_tenant.entry(load.tenant).or_default().push(NewJob::of(&Run::from(load))?);
        }
        for (tenant, jobs) in by_tenant {
            let tx = self.engine.db().org(self.org(tenant)?).await?;
            for submitted in self.engine.submit_many(&tx, jobs).await? {
                submitted?;
            }
            tx.commit().await?;
        }
        self.engine.nudge();
        Ok(())
    }

    async fn work(&self, slots: usize, tally: Arc<Tally>) -> Result<()> {
        let lease = self.config.worker.lease;
        let limits = Limits {
            slots: Queue::ALL.map(|queue| if queue == Queue::Default { slots } else { 0 }),
            lease,
            grace: self.config.worker.grace,
        };
        let worker = Worker::new(self.engine.clone(), Bench { tally }, kinds(), limits);
        let engine = self.engine.clone();
        tokio::spawn(async move { gristmill_scheduler::run(&engine, lease, CancellationToken::new()).await });
        tokio::spawn(async move {
            if let Err(error) = worker.run(CancellationToken::new()).await {
                eprintln!("the worker ended: {error}");
                std::process::exit(1);
            }
        });
        Ok(())
    }

    async fn finished(&self) -> Result<usize> {
        #[derive(FromQueryResult)]
        struct Row {
            jobs: i64,
        }
        let tx = self.engine.db().system().await?;
        let count = "SELECT count(*) AS jobs FROM jobs WHERE state = 'succeeded'";
        let row: Option<Row> = tx.one(sql(count, [])).await?;
        tx.commit().await?;
        Ok(usize::try_from(row.map_or(0, |row| row.jobs))?)
    }
}
