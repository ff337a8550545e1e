//! The API as a process of its own; workers and the scheduler run beside it.

use std::{process::ExitCode, sync::Arc};

use gristmill_ai::HashedNgrams;
use gristmill_api::{App, router, serve};
use gristmill_core::{config::Config, telemetry};
use gristmill_engine::{Engine, dispatch::Pace};
use gristmill_process::{
    connect::{self, StartError},
    probe, recorder, signals,
};
use tokio::net::TcpListener;

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
    refuse_old_schema(&engine).await?;
    let app = App {
        engine: engine.clone(),
        files,
        embedder: Arc::new(HashedNgrams),
        http: config.http.clone(),
        fetcher: connect::fetcher(&config.fetch)?,
        worker: None,
        metrics,
    };
    let router = router(app).map_err(|error| StartError::caused("The API cannot be set up.", error))?;
    let bind = config.http.bind;
    let listener = TcpListener::bind(bind).await.map_err(|error| {
        StartError::caused(format!("The API cannot listen on {bind}. Set GRISTMILL_BIND or PORT."), error)
    })?;
    let dispatcher = {
        let (engine, stop) = (engine.clone(), stop.clone());
        tokio::spawn(async move { engine.run_dispatcher(Pace::Follow, stop).await })
    };
    tracing::info!(address = %bind, version = env!("CARGO_PKG_VERSION"), "the API answers");
    serve(listener, router, stop).await;
    dispatcher.await.map_err(|error| StartError::caused("The dispatcher broke.", error))?;
    let closed = engine.db().close().await;
    closed.map_err(|error| StartError::caused("Connections to the database could not be closed.", error))?;
    tracing::info!("the API has ended in good order");
    Ok(())
}

/// Refuses to answer requests over a schema that lacks what this version needs.
async fn refuse_old_schema(engine: &Engine) -> Result<(), StartError> {
    let checks = probe::checks(engine, None).await;
    let schema = checks.into_iter().find(|check| check.name == "migrations").and_then(|check| check.problem);
    schema.map_or(Ok(()), |problem| Err(StartError::new(format!("{problem} Run `gristmill migrate` first."))))
}
