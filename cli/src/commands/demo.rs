//! `gristmill demo`: the main job at work on sample documents.
//!
//! Everything goes through the HTTP API, as an application's front end would do it.

mod client;
mod show;

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _, process::ExitCode};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use gristmill_core::{config::Config, telemetry};
use gristmill_process::{connect::StartError, recorder, signals};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::client::Client;
use crate::installation::{Installation, Keep};

/// The trade paper's feed among the samples.
const FEED: &str = include_str!("../../samples/feed.xml");

/// Runs the demonstration in a temporary folder; with `exit` it ends after the show.
///
/// # Errors
/// When something that is needed is not to be had, or the show goes wrong.
pub async fn run(exit: bool, bind: Option<SocketAddr>) -> Result<ExitCode, StartError> {
    let folder = tempfile::Builder::new()
        .prefix("gristmill-demo-")
        // Postgres may have to run as another user, who must be able to get there.
        .permissions(std::fs::Permissions::from_mode(0o711))
        .tempdir()
        .map_err(|error| StartError::caused("A temporary folder cannot be made.", error))?;
    let config = config(&folder.path().display().to_string(), bind)?;
    telemetry::init(&config.log);
    recorder::handle();
    let stop = signals::stop_token().map_err(|error| StartError::caused("Signals cannot be received.", error))?;

    println!("Gristmill, a demonstration. Nothing outside {} is touched.\n", folder.path().display());
    let preparing = Installation::prepare(config, Keep::Briefly, |line| println!("  {line}"));
    let installation = tokio::select! {
        prepared = preparing => prepared?,
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let feed = serve_feed(stop.clone()).await?;
    let (address, key, key_file) = (installation.address, installation.key.clone(), installation.key_file.clone());
    let running = tokio::spawn(installation.run(stop.clone()));
    let shown = tokio::select! {
        shown = show::show(Client::new(address, key)?, feed) => shown,
        () = stop.cancelled() => Ok(()),
    };
    if shown.is_ok() && !exit && !stop.is_cancelled() {
        println!(
            "\nThe API is up until Ctrl-C:\n\n  docs       http://{address}/docs\n  admin key  {}\n\n  \
             curl -H \"Authorization: Bearer $(cat {})\" http://{address}/v1/documents",
            key_file.display(),
            key_file.display()
        );
        stop.cancelled().await;
    }
    stop.cancel();
    running.await.map_err(|error| StartError::caused("The demonstration broke.", error))??;
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// Everything private and temporary, whatever the environment says; only logging and the private Postgres' own
/// setting are taken from there.
#[expect(clippy::disallowed_methods, reason = "the few settings that are taken from the environment")]
fn config(folder: &str, bind: Option<SocketAddr>) -> Result<Config, StartError> {
    let bind = bind.map_or_else(|| "127.0.0.1:0".to_owned(), |bind| bind.to_string());
    let config = Config::read(|name| match name {
        "GRISTMILL_DATA_DIR" => Some(folder.to_owned()),
        "GRISTMILL_BIND" => Some(bind.clone()),
        // The feed is served by this process.
        "GRISTMILL_FETCH_ALLOW" => Some("127.0.0.1/32".to_owned()),
        "GRISTMILL_LOG" => Some(std::env::var(name).unwrap_or_else(|_| "error".to_owned())),
        "GRISTMILL_LOG_FORMAT" | "GRISTMILL_POSTGRES_BIN" => std::env::var(name).ok(),
        _ => None,
    });
    config.map_err(|error| StartError::new(error.to_string()))
}

/// Serves the sample feed on a free port and returns its address.
async fn serve_feed(stop: CancellationToken) -> Result<String, StartError> {
    let failed = |error| StartError::caused("The sample feed cannot be served.", error);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = Router::new().route("/feed.xml", get(async || ([(CONTENT_TYPE, "application/rss+xml")], FEED)));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
            tracing::error!(%error, "the sample feed is not served any more");
        }
    });
    Ok(format!("http://{address}/feed.xml"))
}
