//! The worker: every kind of job, one file each under [`jobs`], and the services they use.
//!
//! To add a kind, copy a file of [`jobs`], change it, and add a line to the list in `jobs/mod.rs`.

mod embedding;
pub mod jobs;
mod services;

use gristmill_core::config::WorkerConfig;
use gristmill_engine::{Engine, worker};

pub use services::Services;

/// What a job of this worker can ask for: the engine's context, and [`Services`] through it.
pub type Ctx = gristmill_engine::Ctx<Services>;

/// A worker for every kind of job, not started yet.
pub fn worker(engine: Engine, services: Services, config: &WorkerConfig) -> worker::Worker<Services> {
    let limits = worker::Limits { slots: config.slots, lease: config.lease, grace: config.grace };
    worker::Worker::new(engine, services, jobs::kinds(), limits)
}
