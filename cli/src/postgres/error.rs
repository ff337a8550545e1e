//! Why a private Postgres could not be had, in sentences an operator can act on.

use std::{io, path::PathBuf};

use super::home::Home;

/// What [`super::PrivatePostgres`] can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// A live process holds the data directory.
    #[error(
        "the database in {} is in use by {}: stop it first, or give this one a directory of its own",
        dir.display(),
        holder(*pid)
    )]
    InUse {
        /// The directory both want.
        dir: PathBuf,
        /// The process that holds it, where it left its number.
        pid: Option<u32>,
    },

    /// Nothing on the machine serves, and nothing could be downloaded.
    #[error(
        "no PostgreSQL 15 or newer with pgvector 0.7 or newer could be had ({detail}). Do one of these:\n  \
         1. run everything in containers: `docker compose up` with the compose.yaml of Gristmill\n  \
         2. install it: `apt install postgresql-17-pgvector` (Debian, Ubuntu; any version from 15 on) or `brew install postgresql pgvector`\n  \
         3. set DATABASE_URL to a PostgreSQL server that has pgvector"
    )]
    NoInstallation {
        /// What was tried and why each of it did not do.
        detail: String,
    },

    /// The installation the operator named cannot serve.
    #[error("the PostgreSQL in {} cannot be used: {reason}", bin_dir.display())]
    UnusableInstallation {
        /// The directory named in the configuration.
        bin_dir: PathBuf,
        /// What it lacks.
        reason: String,
    },

    /// The downloaded archive is not the one Gristmill was built to trust.
    #[error(
        "the downloaded {file} has SHA-256 {found}, expected {expected}: it was discarded. Check the package index and proxies this machine uses, or set DATABASE_URL"
    )]
    Checksum {
        /// The file's name.
        file: String,
        /// The digest Gristmill was built with, in hexadecimal.
        expected: &'static str,
        /// The digest of what arrived, in hexadecimal.
        found: String,
    },

    /// Postgres refuses root, and the machine has no unprivileged account to run it as.
    #[error(
        "PostgreSQL refuses to run as root and /etc/passwd has no user `nobody` to run it as: start Gristmill as an ordinary user, or set DATABASE_URL"
    )]
    NoAccount,

    /// `initdb` failed.
    #[error("the database in {} could not be created: {detail}", dir.display())]
    Initialise {
        /// Where it was to be.
        dir: PathBuf,
        /// What `initdb` wrote last.
        detail: String,
    },

    /// The server ended, or did not answer in time.
    #[error("PostgreSQL did not start from {}: {reason}\n{log}", dir.display())]
    Start {
        /// The cluster's directory.
        dir: PathBuf,
        /// In short.
        reason: String,
        /// The last lines of its log.
        log: String,
    },

    /// A server that was running ended without being asked to.
    #[error("PostgreSQL ended unexpectedly ({status}); its last words:\n{log}")]
    Ended {
        /// Exit status of its guard.
        status: String,
        /// The last lines of its log.
        log: String,
    },

    /// A server survives every signal it may be sent.
    #[error("PostgreSQL (process {pid}) in {} does not stop: look at what blocks it, then `kill -QUIT {pid}`", dir.display())]
    Stuck {
        /// The postmaster.
        pid: u32,
        /// The cluster's directory.
        dir: PathBuf,
    },

    /// The server answers, but roles, database or extension could not be set up.
    #[error("the private database could not be set up: {action}: {source}")]
    SetUp {
        /// What was being done.
        action: &'static str,
        /// What the server or the connection said.
        #[source]
        source: sqlx::Error,
    },

    /// A program could not be run.
    #[error("`{program}` could not be run: {source}")]
    Run {
        /// Its name or path.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A file or directory could not be used.
    #[error("{action} {}: {source}", path.display())]
    Files {
        /// What was being done, as a verb phrase.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl PostgresError {
    /// A stable name for logs and scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "postgres-in-use",
            Self::NoInstallation { .. } => "postgres-not-found",
            Self::UnusableInstallation { .. } => "postgres-unusable",
            Self::Checksum { .. } => "postgres-checksum",
            Self::NoAccount => "postgres-no-account",
            Self::Initialise { .. } => "postgres-initdb",
            Self::Start { .. } => "postgres-start",
            Self::Ended { .. } => "postgres-ended",
            Self::Stuck { .. } => "postgres-stuck",
            Self::SetUp { .. } => "postgres-set-up",
            Self::Run { .. } => "postgres-run",
            Self::Files { .. } => "postgres-files",
        }
    }

    pub(super) fn files(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Files { action, path, source }
    }

    pub(super) fn run(program: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let program = program.into();
        move |source| Self::Run { program, source }
    }

    pub(super) fn start(home: &Home, reason: impl Into<String>) -> Self {
        Self::Start { dir: home.cluster(), reason: reason.into(), log: home.last_words() }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
