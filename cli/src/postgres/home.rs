//! The data directory: who owns it, its lock, its passwords, its logs, and the making of a cluster in it.
//!
//! ```text
//! <dir>/lock                 held by the process that owns the directory; its number is inside
//! <dir>/password             of the role `gristmill`, 0600
//! <dir>/password.superuser   of the role `postgres`, 0600; Gristmill itself uses it only to set up
//! <dir>/start.log            what guard and server wrote before the server's own log begins
//! <dir>/cluster/             Postgres' data directory; logs of the last seven days in cluster/log/
//! ```

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::{PostgresError, Progress, account::Account, find::Installation};

/// Written once into a new cluster's `postgresql.conf`, where an operator may change it.
const SETTINGS: &str = "
# --- Gristmill: a small machine, one application ---
shared_buffers = 128MB
max_connections = 100
max_wal_size = 1GB
wal_compression = on                    # whole pages after a checkpoint are most of what is logged
maintenance_work_mem = 128MB        # building a vector index
jit = off                           # short statements
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
# Seven files, one for each day of the week, overwritten a week later.
logging_collector = on
log_directory = 'log'
log_filename = 'server-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_line_prefix = '%m [%p] %u@%d '
log_checkpoints = off
";

/// Only TCP from this machine, only with a password.
const HOST_AUTHENTICATION: &str = "# Written by Gristmill: this machine only, and only with a password.
host all all 127.0.0.1/32 scram-sha-256
";

/// How long an abandoned start may go on writing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts at what only needs a moment.
const LOOK: Duration = Duration::from_millis(50);
/// How long the lock is asked for. A process that its owner has just started holds a copy of the lock's descriptor until
/// the kernel has completed its `exec`, which may be a moment after the owner has gone.
const EXEC: Duration = Duration::from_millis(300);
/// Bytes of log shown in an error.
const LAST_WORDS: u64 = 2_000;

/// The passwords of the two roles.
pub(super) struct Secrets {
    pub(super) role: String,
    pub(super) superuser: String,
}

/// A data directory that this process holds the lock of.
#[derive(Debug)]
pub(super) struct Home {
    root: PathBuf,
    account: Option<Account>,
    /// Held open for its lock. The kernel lets go of it when the process ends.
    _lock: File,
}

impl Home {
    /// Makes the directory if need be and takes its lock.
    pub(super) async fn open(wanted: &Path, report: &(dyn Fn(Progress) + Send + Sync)) -> Result<Self, PostgresError> {
        let is_new = !wanted.exists();
        fs::create_dir_all(wanted).map_err(PostgresError::files("making", wanted))?;
        let wanted = wanted.canonicalize().map_err(PostgresError::files("resolving", wanted))?;
        let mut root = wanted.clone();
        let mut account = Account::choose(&root.join("cluster"))?;
        if let Some(user) = account {
            if is_new {
                // Passable, not listable: the server's user has to get to `cluster`.
                set_mode(&root, 0o711)?;
            }
            if !user.reaches(&root) {
                root = elsewhere(&wanted)?;
                account = Account::choose(&root.join("cluster"))?;
                report(Progress::Relocated { wanted, used: root.clone() });
            }
        }
        let lock = take_lock(&root).await?;
        Ok(Self { root, account, _lock: lock })
    }

    /// Postgres' own data directory.
    pub(super) fn cluster(&self) -> PathBuf {
        self.root.join("cluster")
    }

    /// Whom to run Postgres as; `None`: as ourselves.
    pub(super) fn account(&self) -> Option<Account> {
        self.account
    }

    /// A file for what the server writes before its own log is open; emptied here.
    pub(super) fn start_log(&self) -> Result<File, PostgresError> {
        let path = self.root.join("start.log");
        file().truncate(true).open(&path).map_err(PostgresError::files("writing", path))
    }

    /// The major version that made the cluster, if there is one.
    pub(super) fn major(&self) -> Option<u32> {
        fs::read_to_string(self.cluster().join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// The passwords.
    pub(super) fn secrets(&self) -> Result<Secrets, PostgresError> {
        Ok(Secrets {
            role: secret(&self.root.join("password"))?,
            superuser: secret(&self.root.join("password.superuser"))?,
        })
    }

    /// Makes a cluster unless there is one, and says whether it did. It appears under its name only when complete.
    pub(super) async fn initialise(
        &self,
        installation: &Installation,
        temporary: bool,
        report: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<bool, PostgresError> {
        if self.major().is_some() {
            return Ok(false);
        }
        report(Progress::Initialising { dir: self.cluster() });
        let made = self.root.join("cluster.new");
        // `C.UTF-8` sorts by code point, the same on every machine, and knows the letters of all scripts.
        let mut failure = String::new();
        for locale in ["C.UTF-8", "C"] {
            clear(&made).await?;
            fs::create_dir(&made).map_err(PostgresError::files("making", &made))?;
            set_mode(&made, 0o700)?;
            if let Some(account) = self.account {
                account.own(&made)?;
            }
            let output = self.initdb(installation, &made, locale, temporary).await?;
            if output.status.success() {
                self.configure(&made)?;
                let cluster = self.cluster();
                fs::rename(&made, &cluster).map_err(PostgresError::files("putting in place", cluster))?;
                return Ok(true);
            }
            failure = last_line(&String::from_utf8_lossy(&output.stderr));
            if !failure.contains("locale") {
                break;
            }
        }
        remove_dir(&made)?;
        Err(PostgresError::Initialise { dir: self.cluster(), detail: failure })
    }

    async fn initdb(
        &self,
        installation: &Installation,
        made: &Path,
        locale: &str,
        temporary: bool,
    ) -> Result<Output, PostgresError> {
        // `initdb` may run as another user, who cannot read our own file.
        let mut password =
            tempfile::NamedTempFile::new_in(&self.root).map_err(PostgresError::files("writing in", &self.root))?;
        password
            .write_all(self.secrets()?.superuser.as_bytes())
            .and_then(|()| password.flush())
            .map_err(PostgresError::files("writing", password.path()))?;
        if let Some(account) = self.account {
            account.own(password.path())?;
        }
        let mut command = installation.command("initdb", self.account);
        command.arg("--pgdata").arg(made);
        command.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"]);
        command.arg(format!("--locale={locale}")).arg(format!("--pwfile={}", password.path().display()));
        if temporary {
            command.arg("--no-sync");
        }
        output(command, "initdb").await
    }

    fn configure(&self, made: &Path) -> Result<(), PostgresError> {
        let settings = made.join("postgresql.conf");
        file()
            .append(true)
            .open(&settings)
            .and_then(|mut file| file.write_all(SETTINGS.as_bytes()))
            .map_err(PostgresError::files("writing", settings))?;
        let hosts = made.join("pg_hba.conf");
        file()
            .truncate(true)
            .open(&hosts)
            .and_then(|mut file| file.write_all(HOST_AUTHENTICATION.as_bytes()))
            .map_err(PostgresError::files("writing", hosts))
    }

    /// The end of what the server wrote last.
    pub(super) fn last_words(&self) -> String {
        let newest = fs::read_dir(self.cluster().join("log"))
            .into_iter()
            .flatten()
            .flatten()
            .max_by_key(|entry| entry.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH))
            .map(|entry| entry.path());
        [Some(self.root.join("start.log")), newest]
            .into_iter()
            .flatten()
            .filter_map(|path| tail(&path).ok())
            .filter(|text| !text.trim().is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Deletes what Gristmill put into the directory, and the directory if nothing else is in it.
    pub(super) fn remove(self) -> Result<(), PostgresError> {
        remove_dir(&self.cluster())?;
        for name in ["start.log", "password", "password.superuser", "lock"] {
            let path = self.root.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(PostgresError::files("removing", path)(error));
                }
                _ => {}
            }
        }
        match fs::remove_dir(&self.root) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(PostgresError::files("removing", self.root)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Runs `command` to its end; it dies with the future.
pub(super) async fn output(mut command: Command, name: &str) -> Result<Output, PostgresError> {
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    command.output().await.map_err(PostgresError::run(name))
}

/// The last line that says something.
pub(super) fn last_line(text: &str) -> String {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing").to_owned()
}

/// Sets the mode bits of `path`, whatever the umask is.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), PostgresError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(PostgresError::files("setting the permissions of", path))
}

/// Deletes `dir` if it is there.
pub(super) fn remove_dir(dir: &Path) -> Result<(), PostgresError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(PostgresError::files("removing", dir)(error)),
        _ => Ok(()),
    }
}

/// Deletes the directory of an abandoned start, whose programs may go on writing for a moment after they were killed.
pub(super) async fn clear(dir: &Path) -> Result<(), PostgresError> {
    let began = Instant::now();
    while let Err(error) = remove_dir(dir) {
        if began.elapsed() > PATIENCE {
            return Err(error);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// A directory that every user can pass through to, the same one each time for the same `wanted`.
fn elsewhere(wanted: &Path) -> Result<PathBuf, PostgresError> {
    let digest = hex::encode(Sha256::digest(wanted.as_os_str().as_encoded_bytes()));
    let base = Path::new("/var/lib/gristmill");
    let root = base.join(&digest[..12]);
    fs::create_dir_all(&root).map_err(PostgresError::files("making", &root))?;
    set_mode(base, 0o711)?;
    set_mode(&root, 0o711)?;
    Ok(root)
}

/// How to open a file for writing. Links are not followed: as root we write where another user may have put one.
fn file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

async fn take_lock(root: &Path) -> Result<File, PostgresError> {
    let path = root.join("lock");
    let mut file = file().read(true).open(&path).map_err(PostgresError::files("opening", &path))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if began.elapsed() < EXEC => tokio::time::sleep(LOOK).await,
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(PostgresError::files("reading", &path))?;
                return Err(PostgresError::InUse { dir: root.to_owned(), pid: holder.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(PostgresError::files("locking", path)(source)),
        }
    }
    file.set_len(0)
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(PostgresError::files("writing", path))?;
    Ok(file)
}

/// Reads a password, or makes one: 192 random bits, in hexadecimal so that it needs no quoting in a URL or in SQL.
fn secret(path: &Path) -> Result<String, PostgresError> {
    match fs::read_to_string(path) {
        Ok(text) if is_secret(text.trim()) => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(PostgresError::files("reading", path)(error)),
    }
    let text = hex::encode(rand::random::<[u8; 24]>());
    let dir = path.parent().unwrap_or_else(|| Path::new("/"));
    // Whole or not at all: a torn password would lock us out.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(PostgresError::files("writing in", dir))?;
    writeln!(file, "{text}").and_then(|()| file.as_file().sync_all()).map_err(PostgresError::files("writing", path))?;
    file.persist(path).map_err(|error| PostgresError::files("writing", path)(error.error))?;
    Ok(text)
}

fn is_secret(text: &str) -> bool {
    text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(LAST_WORDS);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
