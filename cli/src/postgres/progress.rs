//! What a start does meanwhile, for a progress line or a log.

use std::{fmt, path::PathBuf, time::Duration};

/// A step of [`super::PrivatePostgres::start`]. `Display` is a line for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The server's user cannot enter the data directory, so the database is elsewhere.
    Relocated {
        /// What was asked for.
        wanted: PathBuf,
        /// Where it is.
        used: PathBuf,
    },
    /// An installation was found that cannot serve.
    Skipped {
        /// Its `bin` directory.
        bin_dir: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// An installation that will be used.
    Found {
        /// Its `bin` directory.
        bin_dir: PathBuf,
        /// Of PostgreSQL.
        version: String,
        /// Of pgvector.
        pgvector: String,
    },
    /// Fetching an installation into the cache.
    Downloading {
        /// PostgreSQL's version.
        version: &'static str,
        /// What will come over the wire, in bytes.
        bytes: u64,
    },
    /// Checking and unpacking it.
    Unpacking {
        /// Into this directory.
        into: PathBuf,
    },
    /// A server that an earlier process left in the directory is being stopped, or is already stopping.
    StoppingPrevious {
        /// Its postmaster.
        pid: u32,
    },
    /// Making a new cluster.
    Initialising {
        /// In this directory.
        dir: PathBuf,
    },
    /// Starting the server.
    Starting {
        /// On this port of 127.0.0.1.
        port: u16,
    },
    /// The server was not shut down cleanly and is replaying its log.
    Recovering,
    /// It answers.
    Ready {
        /// On this port of 127.0.0.1.
        port: u16,
        /// Since the call.
        took: Duration,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relocated { wanted, used } => write!(
                f,
                "PostgreSQL cannot run as root, and the user it runs as cannot enter {}: the database is in {}",
                wanted.display(),
                used.display()
            ),
            Self::Skipped { bin_dir, reason } => {
                write!(f, "not using the PostgreSQL in {}: {reason}", bin_dir.display())
            }
            Self::Found { bin_dir, version, pgvector } => {
                write!(f, "using PostgreSQL {version} with pgvector {pgvector} from {}", bin_dir.display())
            }
            Self::Downloading { version, bytes } => {
                write!(f, "downloading PostgreSQL {version} with pgvector ({} MB, once)", bytes.div_ceil(1_000_000))
            }
            Self::Unpacking { into } => write!(f, "unpacking into {}", into.display()),
            Self::StoppingPrevious { pid } => write!(f, "waiting for the previous PostgreSQL (process {pid}) to stop"),
            Self::Initialising { dir } => write!(f, "making a new database in {}", dir.display()),
            Self::Starting { port } => write!(f, "starting PostgreSQL on 127.0.0.1:{port}"),
            Self::Recovering => write!(f, "PostgreSQL was not shut down cleanly and is recovering"),
            Self::Ready { port, took } => {
                write!(f, "PostgreSQL answers on 127.0.0.1:{port} after {:.1} s", took.as_secs_f64())
            }
        }
    }
}
