//! A private Postgres with pgvector, for a machine where nobody has set `DATABASE_URL`.
//!
//! [`PrivatePostgres::start`] finds an installation (or downloads one), makes a cluster in the data directory if there
//! is none, runs it on a free port of 127.0.0.1, and hands out a URL. No Docker, no root and no package manager needed.
//!
//! | module | does |
//! |---|---|
//! | `find` | looks for an installation on the machine that has pgvector |
//! | `fetch` | downloads one, checks its digest, unpacks it into the cache |
//! | `account` | whom to run as, since Postgres refuses root |
//! | `home` | the data directory: its lock, passwords, logs; `initdb` |
//! | `server` | starts the server under a guard and stops it |
//! | `previous` | a server that an earlier process left behind |
//! | `setup` | role, database, extension |
//! | `foreground` | `gristmill postgres` |
//!
//! # The life of the server
//!
//! One process owns a data directory at a time: it holds a lock on `<dir>/lock`, which the kernel lets go of however the
//! process ends. A second one gets [`PostgresError::InUse`].
//!
//! The server must not outlive its owner, not even after `kill -9`. It is therefore started by a guard, a small shell
//! script whose standard input is a pipe that only the owner writes to. When the owner is gone, for whatever reason, the
//! pipe closes and the guard stops the server with SIGINT (Postgres' *fast shutdown*: clients are cut off, nothing is
//! lost). Guard and server are in a process group of their own, so a Ctrl-C on the terminal reaches only the owner, which
//! can finish its work and then call [`PrivatePostgres::stop`].
//!
//! | what happens | what follows |
//! |---|---|
//! | `stop()` | fast shutdown, waited for |
//! | the value is dropped, the owner ends, crashes, or is killed | the guard does the fast shutdown |
//! | the next start comes while that is under way | it waits for the end, at most 15 s, then presses harder |
//! | owner and guard are both killed with `kill -9` | the server runs on as an orphan; the next start stops it and starts afresh |
//! | the server itself is killed | Postgres recovers at the next start; [`PrivatePostgres::ended`] tells the owner |
//! | the machine loses power | the same; a stale `postmaster.pid` is Postgres' own business |
//! | a stale `postmaster.pid` whose number now belongs to a stranger (usual in containers) | the file is removed, since Postgres would refuse to start |

mod account;
mod error;
mod fetch;
mod find;
mod foreground;
mod home;
mod previous;
mod progress;
mod server;
mod setup;

use std::{ffi::OsString, path::PathBuf, time::Instant};

pub use self::{
    error::PostgresError,
    foreground::{RunOptions, run_command},
    progress::Progress,
};
use self::{home::Home, server::Server};

/// Where a private Postgres keeps its data and looks for its programs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of this database; made if missing.
    pub data_dir: PathBuf,
    /// The `bin` directory of the installation to use; nothing else is looked at then.
    pub bin_dir: Option<PathBuf>,
    /// Where downloaded installations are kept; shared by all databases of a user.
    pub cache_dir: PathBuf,
    /// The `PATH` to look for `pg_config` and `python3` in.
    pub search_path: OsString,
    /// For tests and demonstrations: nothing is flushed to disk, and [`PrivatePostgres::stop`] deletes the database.
    /// A database that was there before is not harmed: for it this means nothing.
    pub temporary: bool,
}

impl Options {
    /// Reads `GRISTMILL_POSTGRES_BIN`, `XDG_CACHE_HOME`, `HOME` and `PATH` through `lookup`.
    ///
    /// As root the cache is `/var/cache/gristmill`: the server runs as another user, who cannot enter root's home.
    pub fn new(data_dir: impl Into<PathBuf>, lookup: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let cache_dir = if account::is_root() {
            PathBuf::from("/var/cache")
        } else if let Some(xdg) = set("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
            xdg
        } else {
            set("HOME").map_or_else(std::env::temp_dir, |home| PathBuf::from(home).join(".cache"))
        };
        Self {
            data_dir: data_dir.into(),
            bin_dir: set("GRISTMILL_POSTGRES_BIN").map(PathBuf::from),
            cache_dir: cache_dir.join("gristmill"),
            search_path: set("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()).into(),
            temporary: false,
        }
    }

    /// The same, for a database that lives as long as the server.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }
}

/// A running Postgres that belongs to this process. Dropping it stops the server in the background; [`Self::stop`] waits.
#[derive(Debug)]
pub struct PrivatePostgres {
    url: String,
    server: Server,
    home: Home,
    temporary: bool,
}

impl PrivatePostgres {
    /// Finds an installation, initialises the data directory if it is new, starts the server and waits until it answers.
    ///
    /// The role in the URL owns the database `gristmill`, may create databases (the extension `vector` is in every new
    /// one), is no superuser and is subject to row-level security. `report` is called as things happen; a first start
    /// downloads 25 MB.
    ///
    /// # Errors
    /// See [`PostgresError`]; in particular [`PostgresError::InUse`] while another process has the directory.
    pub async fn start(options: &Options, report: impl Fn(Progress) + Send + Sync) -> Result<Self, PostgresError> {
        let began = Instant::now();
        let report: &(dyn Fn(Progress) + Send + Sync) = &report;
        let home = Home::open(&options.data_dir, report).await?;
        let temporary = options.temporary && home.major().is_none();
        let installation = find::installation(options, &home, report).await?;
        previous::stop(&home.cluster(), report).await?;
        let is_new = home.initialise(&installation, temporary, report).await?;
        let secrets = home.secrets()?;
        let server = Server::start(&installation, &home, temporary, &secrets, report).await?;
        // A new cluster lacks everything: trying the role would only put a failed login into its log.
        if is_new || !setup::is_complete(server.port(), &secrets).await {
            setup::complete(server.port(), &secrets).await?;
        }
        let url =
            format!("postgres://{}:{}@127.0.0.1:{}/{}", setup::ROLE, secrets.role, server.port(), setup::DATABASE);
        report(Progress::Ready { port: server.port(), took: began.elapsed() });
        Ok(Self { url, server, home, temporary })
    }

    /// `postgres://gristmill:<password>@127.0.0.1:<port>/gristmill`. The port differs from start to start.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Completes only if the server ends without having been stopped, and says why. May be dropped and called again.
    pub async fn ended(&mut self) -> PostgresError {
        self.server.ended(&self.home).await
    }

    /// Cuts off clients, writes everything out and waits for the end: well under a second unless much is unwritten.
    ///
    /// # Errors
    /// [`PostgresError::Stuck`] if the server survives 30 s and an immediate shutdown.
    pub async fn stop(self) -> Result<(), PostgresError> {
        self.server.stop(&self.home).await?;
        if self.temporary { self.home.remove() } else { Ok(()) }
    }
}
