//! `gristmill postgres`.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use gristmill_process::connect::StartError;

use crate::postgres::{RunOptions, run_command};

/// Runs a private Postgres until it is interrupted, or until `command` has ended; then with its exit code.
///
/// # Errors
/// When Postgres or the command cannot be started.
#[expect(clippy::disallowed_methods, reason = "the command's own environment, handed on as a closure")]
pub async fn run(data_dir: Option<PathBuf>, command: Vec<OsString>) -> Result<ExitCode, StartError> {
    let lookup = |name: &str| std::env::var(name).ok();
    let report = |progress: crate::postgres::Progress| eprintln!("{progress}");
    let code = run_command(RunOptions { data_dir, command }, lookup, report).await;
    code.map(ExitCode::from).map_err(|error| StartError::new(error.to_string()))
}
