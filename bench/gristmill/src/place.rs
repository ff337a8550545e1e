//! What is measured in: a migrated database with organizations in it, and the kind of job that is measured.

use std::{sync::Arc, time::Duration};

use gristmill_core::{config::Config, ids::OrgId, secret::Secret};
use gristmill_engine::{Ctx, Engine, Job, JobError, Queue};
use gristmill_process::connect;
use gristmill_store::orgs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::workloads::{Load, Result, Tally};

/// Tenants that a workload may speak of: one large, ten small.
const TENANTS: usize = 11;

/// What the workers' jobs reach.
#[derive(Debug)]
pub(crate) struct Bench {
    /// What jobs tell about themselves.
    pub(crate) tally: Arc<Tally>,
}

/// The job that is measured: it does nothing, or waits.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    i: usize,
    tenant: usize,
    ms: u64,
}

impl From<Load> for Run {
    fn from(Load { i, tenant, ms }: Load) -> Self {
        Self { i, tenant, ms }
    }
}

impl Job<Bench> for Run {
    const KIND: &'static str = "bench.run";
    const ABOUT: &'static str = "Does nothing for as long as it is told.";
    const QUEUE: Queue = Queue::Default;
    const TIMEOUT: Duration = Duration::from_secs(900);

    type Output = ();

    async fn run(self, ctx: &Ctx<Bench>) -> std::result::Result<(), JobError> {
        let Self { i, tenant, ms } = self;
        ctx.tally.run(Load { i, tenant, ms }).await;
        Ok(())
    }
}

gristmill_engine::job_kinds! {
    /// The one kind of job.
    pub(crate) fn kinds() for Bench { Run }
}

/// A Gristmill that is ready for use, with its defaults.
pub(crate) struct Place {
    /// Database and delivery.
    pub(crate) engine: Engine,
    /// One per tenant.
    pub(crate) orgs: Arc<[OrgId]>,
    /// As the product reads it.
    pub(crate) config: Config,
}

/// The value of an environment variable.
#[expect(clippy::disallowed_methods, reason = "where the stores are comes by the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The settings of a Gristmill whose jobs travel by `delivery`. Variables called GRISTMILL_… count as they do for the
/// product.
fn setting(name: &str, delivery: &str) -> Option<String> {
    match name {
        "DATABASE_URL" => variable("BENCH_POSTGRES"),
        "REDIS_URL" if delivery != "memory" => variable("BENCH_REDIS"),
        "GRISTMILL_DELIVERY" if delivery != "memory" => Some(delivery.to_owned()),
        _ if name.starts_with("GRISTMILL_") => variable(name),
        _ => None,
    }
}

/// Opens the place. What was there is used again: a worker that takes another's place finds the same organizations.
pub(crate) async fn open(delivery: &str) -> Result<Place> {
    let url = Secret::new(variable("BENCH_POSTGRES").ok_or("BENCH_POSTGRES is not set")?);
    gristmill_migrations::migrate(url.reveal()).await?;
    let config = Config::read(|name| setting(name, delivery))?;
    let engine = connect::engine(&config, &url).await?;
    let tx = engine.db().system().await?;
    kinds().publish(&tx).await?;
    let mut made = Vec::with_capacity(TENANTS);
    for tenant in 0..TENANTS {
        let name = format!("tenant-{tenant}");
        let org = match orgs::create(&tx, &name).await? {
            Some(org) => Some(org),
            None => orgs::by_name(&tx, &name).await?,
        };
        made.push(org.ok_or("an organization is neither new nor there")?.id);
    }
    tx.commit().await?;
    Ok(Place { engine, orgs: made.into(), config })
}
