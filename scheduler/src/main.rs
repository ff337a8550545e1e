//! The `scheduler` process: what happens because time passes.

use std::process::ExitCode;

use futures::FutureExt as _;
use gristmill_core::{config::Config, telemetry};
use gristmill_process::{
    connect::{self, StartError},
    probe, recorder, signals,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), StartError> {
    let config = Config::from_env().map_err(|error| StartError::new(error.to_string()))?;
    telemetry::init(&config.log);
    let metrics = recorder::handle();
    let stop = signals::stop_token().map_err(|error| StartError::caused("Signals cannot be received.", error))?;
    let (engine, _files) = connect::connect(&config).await?;
    if let Some(bind) = config.http.health_bind {
        let (engine, stop) = (engine.clone(), stop.clone());
        let ready = move || {
            let engine = engine.clone();
            async move { probe::checks(&engine, None).await }.boxed()
        };
        tokio::spawn(async move {
            if let Err(error) = probe::serve(bind, metrics, ready, stop).await {
                tracing::error!(%error, %bind, "/healthz, /readyz and /metrics cannot be served");
            }
        });
    }
    tracing::info!("the scheduler runs");
    gristmill_scheduler::run(&engine, config.worker.lease, stop).await;
    Ok(())
}
