//! The `api` process: answers HTTP; workers and schedulers run beside it.

use std::process::ExitCode;

use gristmill_api::{App, router, serve};
use gristmill_process::{
    Process,
    connect::{self, StartError},
};
use tokio::net::TcpListener;

fn main() -> ExitCode {
    gristmill_process::run(run())
}

async fn run() -> Result<ExitCode, StartError> {
    let process = Process::start().await?;
    let app = App {
        engine: process.engine.clone(),
        files: process.files.clone(),
        embedders: connect::embedders(&process.config.ai)?,
        reranker: None,
        http: process.config.http.clone(),
        fetcher: connect::fetcher(&process.config.fetch)?,
        worker: None,
        metrics: process.metrics.clone(),
    };
    let router = router(app).map_err(|error| StartError::caused("The API cannot be set up.", error))?;
    let bind = process.config.http.bind;
    let listener = TcpListener::bind(bind).await.map_err(|error| {
        StartError::caused(format!("The API cannot listen on {bind}. Set GRISTMILL_BIND or PORT."), error)
    })?;
    let dispatcher = process.follow();
    tracing::info!(address = %bind, version = env!("CARGO_PKG_VERSION"), "the API answers");
    serve(listener, router, process.stop.clone()).await;
    // The server also ends when nobody stopped it; the dispatcher then must, too.
    process.stop.cancel();
    dispatcher.await.map_err(|error| StartError::caused("The dispatcher broke.", error))?;
    let closed = process.engine.db().close().await;
    closed.map_err(|error| StartError::caused("Connections to the database could not be closed.", error))?;
    Ok(ExitCode::SUCCESS)
}
