//! Looks for a PostgreSQL with pgvector: the one named, one on the machine, one in the cache, else a download.

use std::{
    cmp::Reverse,
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use super::{
    Options, PostgresError, Progress,
    account::Account,
    fetch,
    home::{Home, last_line, output},
};

/// The oldest PostgreSQL that Gristmill's migrations run on.
const OLDEST_MAJOR: u32 = 15;
/// The oldest pgvector, as (major, minor): it brought `hnsw.iterative_scan`.
const OLDEST_PGVECTOR: (u32, u32) = (0, 8);
/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// An installation that can serve.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    bin_dir: PathBuf,
    version: String,
    pgvector: String,
}

impl Installation {
    /// The path of one of its programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// One of its programs, to be run as `account`, free of what the caller's environment says about Postgres.
    pub(super) fn command(&self, name: &str, account: Option<Account>) -> Command {
        isolated(&self.program(name), account)
    }

    fn found(&self) -> Progress {
        Progress::Found {
            bin_dir: self.bin_dir.clone(),
            version: self.version.clone(),
            pgvector: self.pgvector.clone(),
        }
    }
}

/// A program with an environment of its own, run as `account`.
///
/// `LC_ALL` is set because PostgreSQL refuses to start without a valid locale on macOS; the directory, because the other
/// user may not be able to enter ours.
pub(super) fn isolated(program: &Path, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    if let Some(Account { uid, gid }) = account {
        command.gid(gid).uid(uid);
    }
    command
}

/// The installation to run the cluster of `home` with.
pub(super) async fn installation(
    options: &Options,
    home: &Home,
    report: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Installation, PostgresError> {
    let needed = home.major();
    if let Some(bin_dir) = &options.bin_dir {
        let found = probe(bin_dir, home.account(), needed)
            .await
            .map_err(|reason| PostgresError::UnusableInstallation { bin_dir: bin_dir.clone(), reason })?;
        report(found.found());
        return Ok(found);
    }
    let mut tried = Vec::new();
    for bin_dir in candidates(options).await {
        match probe(&bin_dir, home.account(), needed).await {
            Ok(found) => {
                report(found.found());
                return Ok(found);
            }
            Err(reason) => {
                tried.push(format!("{}: {reason}", bin_dir.display()));
                report(Progress::Skipped { bin_dir, reason });
            }
        }
    }
    let Some(package) = fetch::package(needed) else {
        tried.push(match needed {
            Some(major) => format!("the database was made by PostgreSQL {major}, which cannot be downloaded"),
            None => "there is no download for this kind of machine".to_owned(),
        });
        return Err(PostgresError::NoInstallation { detail: tried.join("; ") });
    };
    match package.installed(options, home.account(), report).await {
        Ok(found) => {
            report(found.found());
            Ok(found)
        }
        Err(fetch::Failure::Fatal(error)) => Err(error),
        Err(fetch::Failure::Unavailable(reason)) => {
            tried.push(format!("download: {reason}"));
            Err(PostgresError::NoInstallation { detail: tried.join("; ") })
        }
    }
}

/// Looks at one `bin` directory; the error says what it lacks.
pub(super) async fn probe(
    bin_dir: &Path,
    account: Option<Account>,
    needed: Option<u32>,
) -> Result<Installation, String> {
    let bin_dir = bin_dir.canonicalize().map_err(|error| error.to_string())?;
    if account.is_some_and(|account| !account.reaches(&bin_dir)) {
        return Err("the user it would run as cannot enter its directory".to_owned());
    }
    // Both are run: they do not need the same libraries.
    said(&bin_dir.join("initdb"), "--version", account).await?;
    let said = said(&bin_dir.join("postgres"), "--version", account).await?;
    let version = server_version(&said).ok_or_else(|| format!("`postgres --version` says `{said}`"))?;
    let major = leading_number(version).ok_or_else(|| format!("`{version}` is no version"))?;
    if major < OLDEST_MAJOR {
        return Err(format!("it is version {version}, older than {OLDEST_MAJOR}"));
    }
    let control = extension_control(&bin_dir, major, account).await.ok_or("it has no pgvector")?;
    let pgvector = control_version(&control).ok_or("its vector.control names no version")?;
    if two_numbers(pgvector).is_none_or(|found| found < OLDEST_PGVECTOR) {
        return Err(format!("its pgvector is {pgvector}, older than {}.{}", OLDEST_PGVECTOR.0, OLDEST_PGVECTOR.1));
    }
    if let Some(needed) = needed
        && needed != major
    {
        return Err(format!("it is version {major}, and the database was made by version {needed}"));
    }
    Ok(Installation { version: version.to_owned(), pgvector: pgvector.to_owned(), bin_dir })
}

/// `bin` directories worth a look: what `pg_config` on the path names, then what packages leave, newest first.
async fn candidates(options: &Options) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for dir in std::env::split_paths(&options.search_path) {
        let program = dir.join("pg_config");
        if program.is_file()
            && let Ok(bin_dir) = said(&program, "--bindir", None).await
        {
            dirs.push(PathBuf::from(bin_dir));
        }
    }
    // Debian and Ubuntu; Fedora and Red Hat; Homebrew on Apple silicon, Intel and Linux.
    for (parent, prefix, suffix) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ] {
        dirs.extend(versioned(Path::new(parent), prefix, suffix));
    }
    let mut seen = HashSet::new();
    dirs.retain(|dir| {
        dir.join("postgres").is_file() && seen.insert(dir.canonicalize().unwrap_or_else(|_| dir.clone()))
    });
    dirs
}

/// `<parent>/<prefix><version>/<suffix>`, newest version first.
fn versioned(parent: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix(prefix)?.trim_start_matches('@');
            // Homebrew's unversioned name points at one of the others.
            let version = if rest.is_empty() { 0 } else { leading_number(rest)? };
            Some((version, entry.path().join(suffix)))
        })
        .collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// What a program prints when asked, on one line.
async fn said(program: &Path, argument: &str, account: Option<Account>) -> Result<String, String> {
    let mut command = isolated(program, account);
    command.arg(argument);
    let name = program.display().to_string();
    let output = tokio::time::timeout(PATIENCE, output(command, &name))
        .await
        .map_err(|_| format!("`{name} {argument}` hangs"))?
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("`{name} {argument}` fails: {}", last_line(&String::from_utf8_lossy(&output.stderr))))
    }
}

/// The text of `vector.control`.
async fn extension_control(bin_dir: &Path, major: u32, account: Option<Account>) -> Option<String> {
    let mut shares = Vec::new();
    if let Ok(share) = said(&bin_dir.join("pg_config"), "--sharedir", account).await {
        shares.push(PathBuf::from(share));
    }
    // Some packages ship `pg_config` apart from the server.
    shares.push(PathBuf::from(format!("/usr/share/postgresql/{major}")));
    shares.extend(bin_dir.parent().map(|tree| tree.join("share/postgresql")));
    shares.extend(bin_dir.parent().map(|tree| tree.join("share")));
    shares.iter().find_map(|share| fs::read_to_string(share.join("extension/vector.control")).ok())
}

/// `postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)` → `15.20`.
fn server_version(said: &str) -> Option<&str> {
    said.split_once("(PostgreSQL) ")?.1.split_whitespace().next()
}

/// The version in `default_version = '0.8.5'`.
fn control_version(control: &str) -> Option<&str> {
    control.lines().find_map(|line| {
        let value = line.trim().strip_prefix("default_version")?.trim_start().strip_prefix('=')?;
        value.split('\'').nth(1)
    })
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).map_or(text, |end| &text[..end]);
    digits.parse().ok()
}

fn two_numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((leading_number(parts.next()?)?, leading_number(parts.next()?)?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// An installation made of shell scripts.
    fn made_up(version: &str, pgvector: Option<&str>) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let bin = tree.path().join("bin");
        let extensions = tree.path().join("share/extension");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&extensions).unwrap();
        for (name, says) in [("postgres", format!("postgres (PostgreSQL) {version}")), ("initdb", String::new())] {
            fs::write(bin.join(name), format!("#!/bin/sh\necho '{says}'\n")).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        if let Some(pgvector) = pgvector {
            let control = format!("comment = 'vectors'\ndefault_version = '{pgvector}'\nrelocatable = true\n");
            fs::write(extensions.join("vector.control"), control).unwrap();
        }
        tree
    }

    async fn verdict(tree: &tempfile::TempDir, needed: Option<u32>) -> Result<(String, String), String> {
        let found = probe(&tree.path().join("bin"), None, needed).await?;
        Ok((found.version, found.pgvector))
    }

    #[tokio::test]
    async fn takes_one_that_has_everything() {
        let tree = made_up("17.2 (Debian 17.2-1)", Some("0.8.0"));
        assert_eq!(verdict(&tree, None).await, Ok(("17.2".to_owned(), "0.8.0".to_owned())));
        assert_eq!(verdict(&tree, Some(17)).await, Ok(("17.2".to_owned(), "0.8.0".to_owned())));
    }

    #[tokio::test]
    async fn says_what_is_missing() {
        assert_eq!(verdict(&made_up("17.2", None), None).await.unwrap_err(), "it has no pgvector");
        assert_eq!(
            verdict(&made_up("17.2", Some("0.7.4")), None).await.unwrap_err(),
            "its pgvector is 0.7.4, older than 0.8"
        );
        assert_eq!(
            verdict(&made_up("14.9", Some("0.8.0")), None).await.unwrap_err(),
            "it is version 14.9, older than 15"
        );
        assert_eq!(
            verdict(&made_up("17.2", Some("0.8.0")), Some(16)).await.unwrap_err(),
            "it is version 17, and the database was made by version 16"
        );
    }

    #[test]
    fn newest_directory_first() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["postgresql@9", "postgresql", "postgresql@17", "pgvector"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        let names: Vec<_> = versioned(parent.path(), "postgresql", "bin")
            .iter()
            .map(|dir| dir.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["postgresql@17", "postgresql@9", "postgresql"]);
    }

    #[test]
    fn reads_development_versions() {
        assert_eq!(leading_number("19beta1"), Some(19));
        assert_eq!(two_numbers("0.8.5"), Some((0, 8)));
        assert_eq!(two_numbers("1"), None);
    }
}
