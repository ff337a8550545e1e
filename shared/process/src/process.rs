//! A process that is one of several: what `api`, `worker` and `scheduler` do alike.

use std::process::ExitCode;

use futures::FutureExt as _;
use gristmill_core::{config::Config, telemetry};
use gristmill_engine::{Engine, dispatch::Pace, worker::Health};
use gristmill_files::Files;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    connect::{self, StartError},
    probe, recorder, signals,
};

/// A process that meets others in Postgres and Redis.
#[derive(Debug)]
pub struct Process {
    /// As the environment has it.
    pub config: Config,
    /// Database and delivery.
    pub engine: Engine,
    /// The file storage.
    pub files: Files,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    /// Cancelled when the process is asked to stop.
    pub stop: CancellationToken,
}

impl Process {
    /// Reads the configuration, starts logging and measuring, and connects.
    ///
    /// # Errors
    /// When the configuration is wrong, a store cannot be reached, or the schema lacks what this version needs.
    pub async fn start() -> Result<Self, StartError> {
        let config = Config::from_env().map_err(|error| StartError::new(error.to_string()))?;
        telemetry::init(&config.log);
        let metrics = recorder::handle();
        let stop = signals::stop_token().map_err(|error| StartError::caused("Signals cannot be received.", error))?;
        let (engine, files) = connect::connect(&config).await?;
        let pending = gristmill_migrations::pending(engine.db().pool()).await;
        let pending = pending.map_err(|error| StartError::caused("The schema's version cannot be read.", error))?;
        if pending > 0 {
            let sentence = "change(s) that this version needs; run `gristmill migrate` first.";
            return Err(StartError::new(format!("The database's schema lacks {pending} {sentence}")));
        }
        Ok(Self { config, engine, files, metrics, stop })
    }

    /// Answers `/healthz`, `/readyz` and `/metrics` where the configuration says, if it does. `worker` is the health of
    /// the worker that this process runs.
    pub fn answer_probes(&self, worker: Option<Health>) {
        let Some(bind) = self.config.http.health_bind else { return };
        let (engine, metrics, stop) = (self.engine.clone(), self.metrics.clone(), self.stop.clone());
        let ready = move || {
            let (engine, worker) = (engine.clone(), worker.clone());
            async move { probe::checks(&engine, worker.as_ref()).await }.boxed()
        };
        tokio::spawn(async move {
            if let Err(error) = probe::serve(bind, metrics, ready, stop).await {
                tracing::error!(%error, %bind, "/healthz, /readyz and /metrics cannot be served");
            }
        });
    }

    /// Dispatches what this process submits, without waiting for the scheduler's next look.
    pub fn follow(&self) -> JoinHandle<()> {
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        tokio::spawn(async move { engine.run_dispatcher(Pace::Follow, stop).await })
    }
}

/// Runs a process to its end and tells a failure on standard error.
///
/// Threads that are still at work by then are left behind: their jobs were given back, and a text that takes for ever to
/// cut must not keep the process.
pub fn run(process: impl Future<Output = Result<ExitCode, StartError>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("The process cannot start its threads.\n  cause: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(process);
    runtime.shutdown_background();
    ended.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}
