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
    gristmill_scheduler::run(&process.engine, process.config.worker.lease, process.stop).await;
    Ok(ExitCode::SUCCESS)
}
