//! The `worker` process: takes and runs jobs.

use std::process::ExitCode;

use gristmill_extractor::Extractor;
use gristmill_process::{Process, connect::StartError};
use gristmill_worker::Services;

fn main() -> ExitCode {
    gristmill_extractor::serve_if_asked().unwrap_or_else(|| gristmill_process::run(run()))
}

async fn run() -> Result<ExitCode, StartError> {
    let process = Process::start().await?;
    let config = &process.config;
    let extractor = Extractor::new(&config.extract, config.worker.ingest_slots());
    let services = Services::new(config, process.files.clone(), extractor)?;
    let worker = gristmill_worker::worker(process.engine.clone(), services, &process.config.worker);
    process.answer_probes(Some(worker.health()));
    process.follow();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the worker runs");
    worker.run(process.stop).await.map_err(|error| StartError::caused("The worker ended in an error.", error))?;
    Ok(ExitCode::SUCCESS)
}
