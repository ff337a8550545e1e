//! The `worker` process: takes and runs jobs.

use std::process::ExitCode;

use futures::FutureExt as _;
use gristmill_core::{config::Config, telemetry};
use gristmill_process::{
    connect::{self, StartError},
    probe, recorder, signals,
};
use gristmill_worker::Services;

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
    let (engine, files) = connect::connect(&config).await?;
    let services = Services::new(&config.fetch, files)?;
    let worker = gristmill_worker::worker(engine.clone(), services, &config.worker);
    if let Some(bind) = config.http.health_bind {
        let (engine, health, stop) = (engine.clone(), worker.health(), stop.clone());
        let ready = move || {
            let (engine, health) = (engine.clone(), health.clone());
            async move { probe::checks(&engine, Some(&health)).await }.boxed()
        };
        tokio::spawn(async move {
            if let Err(error) = probe::serve(bind, metrics, ready, stop).await {
                tracing::error!(%error, %bind, "/healthz, /readyz and /metrics cannot be served");
            }
        });
    }
    let dispatcher = engine.clone();
    let follow = stop.clone();
    tokio::spawn(async move { dispatcher.run_dispatcher(gristmill_engine::dispatch::Pace::Follow, follow).await });
    tracing::info!("the worker runs");
    worker.run(stop).await.map_err(|error| StartError::caused("The worker could not start.", error))
}
