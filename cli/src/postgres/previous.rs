//! A server that an earlier process left in the directory: still stopping, or orphaned because its guard was killed too.
//!
//! Our caller holds the directory's lock, so whoever runs here has no owner any more.

use std::{
    fs,
    io::ErrorKind,
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, test_kill_process},
};

use super::{PostgresError, Progress};

/// How long a fast shutdown may take before the server is pressed.
const FAST: Duration = Duration::from_secs(15);
/// How long an immediate shutdown may take.
const IMMEDIATE: Duration = Duration::from_secs(5);
/// Between two looks. The server is not our child, so nothing tells us of its end.
const LOOK: Duration = Duration::from_millis(25);

/// What is known of the process that `postmaster.pid` names.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The server of this cluster.
    Server,
    /// Somebody else's process, which got the number after the server was gone.
    Stranger,
    /// Nobody has this number, or one cannot tell.
    Nobody,
}

/// Makes sure that no server runs on `cluster`.
///
/// SIGINT asks for a fast shutdown; on a server that is already stopping it changes nothing. After 15 s follows SIGQUIT,
/// an immediate shutdown, after which Postgres recovers from its log at the next start.
pub(super) async fn stop(cluster: &Path, report: &(dyn Fn(Progress) + Send + Sync)) -> Result<(), PostgresError> {
    let path = cluster.join("postmaster.pid");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PostgresError::files("reading", path)(error)),
    };
    let Some(pid) = postmaster(&text) else { return Ok(()) };
    match look(pid, cluster) {
        Found::Nobody => return Ok(()),
        Found::Stranger => {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(PostgresError::files("removing", path)(error)),
                _ => Ok(()),
            };
        }
        Found::Server => {}
    }
    let number = pid.as_raw_pid().unsigned_abs();
    report(Progress::StoppingPrevious { pid: number });
    for (signal, patience) in [(Signal::INT, FAST), (Signal::QUIT, IMMEDIATE)] {
        match kill_process(pid, signal) {
            Err(error) if error != Errno::SRCH => {
                return Err(PostgresError::run(format!("kill {number}"))(error.into()));
            }
            _ => {}
        }
        let began = Instant::now();
        while began.elapsed() < patience {
            if look(pid, cluster) != Found::Server {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Err(PostgresError::Stuck { pid: number, dir: cluster.to_owned() })
}

/// Whether a server runs on `cluster`.
pub(super) fn runs(cluster: &Path) -> bool {
    fs::read_to_string(cluster.join("postmaster.pid"))
        .is_ok_and(|text| postmaster(&text).is_some_and(|pid| look(pid, cluster) == Found::Server))
}

/// The first line of `postmaster.pid` (PostgreSQL, `miscadmin.h`, `LOCK_FILE_LINE_PID`); negative for a single-user backend.
fn postmaster(text: &str) -> Option<Pid> {
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?).filter(|pid| pid.as_raw_pid() > 1)
}

/// A Postgres process works in its data directory (`ChangeToDataDir`), which Linux shows. Elsewhere its command line
/// names the directory, and a number that fits nothing is left to Postgres to judge.
fn look(pid: Pid, cluster: &Path) -> Found {
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return Found::Nobody;
    }
    let Ok(cluster) = cluster.canonicalize() else { return Found::Nobody };
    if cfg!(target_os = "linux") {
        let works_in = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_pid()));
        return if works_in.is_ok_and(|dir| dir == cluster) { Found::Server } else { Found::Stranger };
    }
    let asked = std::process::Command::new("ps").args(["-o", "command=", "-p", &pid.as_raw_pid().to_string()]).output();
    let named = asked.is_ok_and(|ps| String::from_utf8_lossy(&ps.stdout).contains(&*cluster.to_string_lossy()));
    if named { Found::Server } else { Found::Nobody }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_number_that_a_stranger_has_now_is_no_obstacle() {
        let cluster = tempfile::tempdir().unwrap();
        let path = cluster.path().join("postmaster.pid");
        fs::write(&path, format!("{}\n/elsewhere\n", std::process::id())).unwrap();
        stop(cluster.path(), &|_| {}).await.unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_or_torn_file_is_left_to_postgres() {
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        for text in [format!("{}\n/elsewhere\n", gone.id()), String::new(), "nonsense\n".to_owned(), "0\n".to_owned()] {
            let cluster = tempfile::tempdir().unwrap();
            let path = cluster.path().join("postmaster.pid");
            fs::write(&path, &text).unwrap();
            stop(cluster.path(), &|progress| panic!("{progress}")).await.unwrap();
            assert!(path.exists(), "{text:?}");
        }
    }
}
