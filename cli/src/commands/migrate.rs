//! `gristmill migrate`.

use std::process::ExitCode;

use gristmill_core::config::Config;
use gristmill_process::connect::StartError;
use gristmill_store::Db;

use crate::bootstrap;

/// Brings the database at `DATABASE_URL` up to date, tells it which kinds of job there are, and makes the first
/// organization and key if there is none. Safe to run by any number of processes at once, at every deployment.
///
/// # Errors
/// When `DATABASE_URL` is not set, the database cannot be reached, or it refuses a change.
pub async fn run() -> Result<ExitCode, StartError> {
    let config = Config::from_env().map_err(|error| StartError::new(error.to_string()))?;
    let missing = "DATABASE_URL is not set. `gristmill up` migrates its private Postgres by itself.";
    let url = config.database.url.ok_or_else(|| StartError::new(missing))?;
    bootstrap::migrate(&url).await?;
    let db =
        Db::connect(&url, 2).await.map_err(|error| StartError::caused("The database cannot be reached.", error))?;
    match bootstrap::first_key(&db).await? {
        Some(key) => println!("Organization `default` was made. Its admin key, shown this once:\n{}", key.reveal()),
        None => println!("The database is up to date."),
    }
    Ok(ExitCode::SUCCESS)
}
