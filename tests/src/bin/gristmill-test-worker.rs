//! A worker process with the kinds of job of the faults harness.

use std::process::ExitCode;

use gristmill_engine::worker::{Limits, Worker};
use gristmill_process::{Process, connect::StartError};
use gristmill_tests::faults::kinds::kinds;

fn main() -> ExitCode {
    gristmill_process::run(run())
}

async fn run() -> Result<ExitCode, StartError> {
    let process = Process::start().await?;
    let config = &process.config.worker;
    let limits = Limits { slots: config.slots, lease: config.lease, grace: config.grace };
    let worker = Worker::new(process.engine.clone(), (), kinds(), limits);
    process.answer_probes(Some(worker.health()));
    process.follow();
    tracing::info!("the test worker runs");
    worker.run(process.stop).await.map_err(|error| StartError::caused("The worker ended in an error.", error))?;
    Ok(ExitCode::SUCCESS)
}
