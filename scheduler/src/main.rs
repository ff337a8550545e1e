//! The `scheduler` process: what happens because time passes.

use std::process::ExitCode;

use gristmill_process::{Process, connect::StartError};

fn main() -> ExitCode {
    gristmill_process::run(run())
}

async fn run() -> Result<ExitCode, StartError> {
    let process = Process::start().await?;
    process.answer_probes(None);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the scheduler runs");
    let Process { config, engine, stop, .. } = process;
    tokio::join!(
        gristmill_scheduler::run(&engine, config.worker.lease, stop.clone()),
        gristmill_scheduler::run_pruner(&engine, &config.retention, stop),
    );
    Ok(ExitCode::SUCCESS)
}
