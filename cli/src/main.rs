//! The `gristmill` command.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use gristmill_cli::commands;
use gristmill_process::connect::StartError;

/// Background jobs for AI knowledge products: documents and feeds become searchable, analysed knowledge.
///
/// Everything else is configured by environment variables; `.env.example` lists them.
#[derive(Debug, Parser)]
#[command(name = "gristmill", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything in one process: API, worker and scheduler, with a private Postgres unless DATABASE_URL is set
    Up {
        /// The folder for the private Postgres, files and the first API key [default: ./data]
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
        /// The address to listen on [default: 127.0.0.1:7171]
        #[arg(long, value_name = "ADDRESS")]
        bind: Option<SocketAddr>,
    },
    /// Shows the main job at work on sample documents, in a temporary folder
    Demo {
        /// End after the show instead of leaving the API up
        #[arg(long)]
        exit: bool,
        /// The address to listen on [default: a free port of 127.0.0.1]
        #[arg(long, value_name = "ADDRESS")]
        bind: Option<SocketAddr>,
    },
    /// Brings the database at DATABASE_URL up to date, and makes the first organization and key if there is none
    Migrate,
    /// Runs a private Postgres: in the foreground, or for as long as COMMAND runs, with DATABASE_URL set for it
    Postgres {
        /// The folder of its data; without it the database is temporary
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
        /// What to run
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Shows what a document becomes, without a server
    Extract(commands::extract::Extract),
    /// Hands a job in, over HTTP
    Enqueue(commands::enqueue::Enqueue),
    /// Looks at jobs and steers them, over HTTP
    Jobs(commands::jobs::Jobs),
    /// Looks at the queues, pauses them and lets them go on, over HTTP
    Queues(commands::queues::Queues),
    /// Looks at limits and sets them, over HTTP
    Limits(commands::limits::Limits),
    /// Prints what `.env.example` should say
    #[command(hide = true)]
    EnvExample,
}

fn main() -> ExitCode {
    gristmill_extractor::serve_if_asked().unwrap_or_else(|| gristmill_process::run(run(Cli::parse().command)))
}

async fn run(command: Command) -> Result<ExitCode, StartError> {
    match command {
        Command::Up { data_dir, bind } => commands::up::run(data_dir, bind).await,
        Command::Demo { exit, bind } => commands::demo::run(exit, bind).await,
        Command::Migrate => commands::migrate::run().await,
        Command::Postgres { data_dir, command } => commands::postgres::run(data_dir, command).await,
        Command::Extract(command) => commands::extract::run(command).await,
        Command::Enqueue(command) => commands::enqueue::run(command).await,
        Command::Jobs(command) => commands::jobs::run(command).await,
        Command::Queues(command) => commands::queues::run(command).await,
        Command::Limits(command) => commands::limits::run(command).await,
        Command::EnvExample => {
            print!("{}", gristmill_core::config::env_example());
            Ok(ExitCode::SUCCESS)
        }
    }
}
