//! `gristmill up`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use gristmill_core::{config::Config, telemetry};
use gristmill_process::{connect::StartError, recorder, signals};

use crate::installation::{Installation, Keep};

/// Runs everything in one process until it is told to stop.
///
/// # Errors
/// When it cannot start, or a part of it ends by itself.
pub async fn run(data_dir: Option<PathBuf>, bind: Option<SocketAddr>) -> Result<ExitCode, StartError> {
    let mut config = Config::from_env().map_err(|error| StartError::new(error.to_string()))?;
    config.storage.data_dir = data_dir.unwrap_or(config.storage.data_dir);
    config.http.bind = bind.unwrap_or(config.http.bind);
    telemetry::init(&config.log);
    recorder::handle();
    let stop = signals::stop_token().map_err(|error| StartError::caused("Signals cannot be received.", error))?;
    let database = if config.database.url.is_some() { "DATABASE_URL" } else { "a private Postgres" };
    let delivery = if config.delivery.redis_url.is_some() { "Redis" } else { "memory" };
    let data_dir = config.storage.data_dir.clone();
    let files = config.storage.bucket.as_ref().map_or_else(
        || data_dir.join("files").display().to_string(),
        |bucket| format!("the S3 bucket {}", bucket.name),
    );
    let preparing = Installation::prepare(config, Keep::Always, |line| eprintln!("  {line}"));
    let installation = tokio::select! {
        prepared = preparing => prepared?,
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let (address, key_file) = (installation.address, installation.key_file.display());
    println!(
        "\nGristmill runs.\n\n  \
           API        http://{address}/v1\n  \
           docs       http://{address}/docs\n  \
           admin key  {key_file}\n  \
           database   {database}\n  \
           delivery   {delivery}\n  \
           files      {files}\n\n\
         Hand it a document:\n\n  \
           curl -H \"Authorization: Bearer $(cat {key_file})\" -F file=@README.md http://{address}/v1/documents\n\n\
         Ctrl-C stops it.\n"
    );
    installation.run(stop).await?;
    println!("Gristmill has stopped.");
    Ok(ExitCode::SUCCESS)
}
