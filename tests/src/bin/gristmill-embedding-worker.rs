//! A worker process whose embedding model writes down what it is paid for.

use std::{path::Path, process::ExitCode, sync::Arc};

use gristmill_ai::Embedders;
use gristmill_extractor::Extractor;
use gristmill_process::{Process, connect::StartError};
use gristmill_tests::{
    database::setting,
    embedding::{Counting, LEDGER, MOST_CALLS},
};
use gristmill_worker::Services;

fn main() -> ExitCode {
    gristmill_extractor::serve_if_asked().unwrap_or_else(|| gristmill_process::run(run()))
}

async fn run() -> Result<ExitCode, StartError> {
    let process = Process::start().await?;
    let config = &process.config;
    let extractor = Extractor::new(&config.extract, config.worker.ingest_slots());
    let mut services = Services::new(config, process.files.clone(), extractor)?;
    let model = Counting::new("test/counting", 16, Path::new(&setting(LEDGER)));
    let model = model.answering(setting(MOST_CALLS).parse().unwrap_or(usize::MAX));
    services.embedders = Embedders::new(Arc::new(model), []);
    let worker = gristmill_worker::worker(process.engine.clone(), services, &process.config.worker);
    process.answer_probes(Some(worker.health()));
    process.follow();
    worker.run(process.stop).await.map_err(|error| StartError::caused("The worker ended in an error.", error))?;
    Ok(ExitCode::SUCCESS)
}
