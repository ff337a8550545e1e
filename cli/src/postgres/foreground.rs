//! `gristmill postgres`: a private Postgres in the foreground, or for the duration of one command.

use std::{
    ffi::OsString,
    fs::Permissions,
    io::Write,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::PathBuf,
    process::ExitStatus,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use super::{Options, PostgresError, PrivatePostgres, Progress, home::clear, previous};

/// What `gristmill postgres [--data-dir D] [-- COMMAND…]` was asked for.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Where to keep the data; without it the database is temporary and unsafe against power loss, which is fast.
    pub data_dir: Option<PathBuf>,
    /// What to run with `DATABASE_URL` set; empty: print the URL and run until interrupted.
    pub command: Vec<OsString>,
}

/// Runs a private Postgres until the command ends, or, without a command, until SIGINT or SIGTERM.
///
/// Without a command the URL is one line on standard output. With one, SIGINT from the terminal is the command's own
/// affair, and SIGTERM is passed on to it; in both cases the server stops after it. Returns the exit status for this
/// process: the command's, or 128 + the number of the signal that ended it, as a shell has it.
///
/// # Errors
/// As [`PrivatePostgres::start`] and [`PrivatePostgres::stop`]; [`PostgresError::Run`] if the command cannot be run;
/// [`PostgresError::Ended`] if the server ends on its own.
pub async fn run_command(
    run: RunOptions,
    lookup: impl Fn(&str) -> Option<String>,
    report: impl Fn(Progress) + Send + Sync,
) -> Result<u8, PostgresError> {
    // Kept to the end: dropping it deletes what a failed start has left.
    let mut temporary = None;
    let options = match run.data_dir {
        Some(dir) => Options::new(dir, lookup),
        None => {
            // As root, the server's user has to pass through.
            let dir = tempfile::Builder::new()
                .prefix("gristmill-postgres-")
                .permissions(Permissions::from_mode(0o711))
                .tempdir()
                .map_err(PostgresError::files("making a directory in", std::env::temp_dir()))?;
            Options::new(temporary.insert(dir).path(), lookup).temporary()
        }
    };
    // Registered before anything starts, so that no signal ends us with work half done.
    let mut signals = Signals::register()?;
    let started = tokio::select! {
        started = PrivatePostgres::start(&options, report) => started,
        status = signals.any() => {
            previous::stop(&options.data_dir.join("cluster"), &|_| {}).await?;
            if let Some(dir) = temporary {
                clear(&dir.keep()).await?;
            }
            return Ok(status);
        }
    };
    let mut postgres = started?;
    let outcome = match run.command.split_first() {
        Some((program, arguments)) => attend(&mut postgres, signals, program, arguments).await,
        None => idle(&mut postgres, signals).await,
    };
    let stopped = postgres.stop().await;
    let status = outcome?;
    stopped?;
    Ok(status)
}

/// The signals that ask this process to end.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn register() -> Result<Self, PostgresError> {
        let on = |kind| signal(kind).map_err(PostgresError::run("signal"));
        Ok(Self { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    /// Waits for either, and gives the exit status a shell has for it.
    async fn any(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 128 + 2,
            _ = self.terminate.recv() => 128 + 15,
        }
    }
}

async fn idle(postgres: &mut PrivatePostgres, mut signals: Signals) -> Result<u8, PostgresError> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", postgres.url()).and_then(|()| out.flush()).map_err(PostgresError::run("standard output"))?;
    tokio::select! {
        // Being asked to end is how this one succeeds.
        _ = signals.any() => Ok(0),
        error = postgres.ended() => Err(error),
    }
}

async fn attend(
    postgres: &mut PrivatePostgres,
    mut signals: Signals,
    program: &OsString,
    arguments: &[OsString],
) -> Result<u8, PostgresError> {
    let name = program.to_string_lossy().into_owned();
    let mut child = Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", postgres.url())
        .spawn()
        .map_err(PostgresError::run(&name))?;
    loop {
        tokio::select! {
            status = child.wait() => return status.map(code).map_err(PostgresError::run(name)),
            _ = signals.interrupt.recv() => {}
            _ = signals.terminate.recv() => pass_on(child.id(), Signal::TERM),
            error = postgres.ended() => {
                // It cannot do anything useful any more.
                pass_on(child.id(), Signal::TERM);
                child.wait().await.map_err(PostgresError::run(name))?;
                return Err(error);
            }
        }
    }
}

fn pass_on(id: Option<u32>, signal: Signal) {
    let pid = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::warn!(process.pid = pid.as_raw_pid(), %error, "the signal could not be passed on to the command");
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
