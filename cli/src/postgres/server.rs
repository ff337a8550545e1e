//! Starts the server under its guard, waits until it answers, stops it.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::process::{Child, ChildStdin};

use super::{
    PostgresError, Progress,
    find::{Installation, isolated},
    home::{Home, Secrets},
    previous, setup,
};

/// Runs its arguments and stops them with SIGINT once nobody holds the other end of its standard input.
///
/// The watcher is the one that blocks on the pipe, the main shell the one that waits: so both an end of the owner and an
/// end of the server are noticed at once. Signals meant for a whole service (a terminal's, a service manager's) must not
/// take the guard away before the server; Postgres installs its own handlers. The watcher therefore ends by KILL, and
/// repeats its SIGINT: a server that has only just been started may not have its handlers yet.
const GUARD: &str = r#"
trap '' HUP INT QUIT TERM
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
{ read -r _ <&3; while kill -INT "$server"; do sleep 1; done; } 2>/dev/null &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -KILL "$watcher" 2>/dev/null
exit "$status"
"#;

/// Launches: another process may take the free port before the server does.
const ATTEMPTS: usize = 5;
/// Between two attempts to connect.
const KNOCK: Duration = Duration::from_millis(20);
/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one that says it is recovering may take.
const RECOVERY: Duration = Duration::from_secs(1800);
/// How long a fast shutdown may take to write everything out.
const SHUTDOWN: Duration = Duration::from_secs(30);

/// A server and its guard.
#[derive(Debug)]
pub(super) struct Server {
    guard: Child,
    /// When this closes, the guard stops the server.
    lifeline: ChildStdin,
    port: u16,
}

/// How waiting for an answer went.
enum Answer {
    Ready,
    Ended(ExitStatus),
}

impl Server {
    /// Starts the server on a free port and waits until it accepts connections.
    pub(super) async fn start(
        installation: &Installation,
        home: &Home,
        temporary: bool,
        secrets: &Secrets,
        report: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Self, PostgresError> {
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            report(Progress::Starting { port });
            let mut server = Self::launch(installation, home, temporary, port)?;
            match server.answer(home, secrets, report).await? {
                Answer::Ready => return Ok(server),
                Answer::Ended(_) if attempt < ATTEMPTS && is_taken(port) => {}
                // One that was abandoned so early that nothing was to be seen of it when we looked.
                Answer::Ended(_) if attempt < ATTEMPTS && previous::runs(&home.cluster()) => {
                    previous::stop(&home.cluster(), report).await?;
                }
                Answer::Ended(status) => {
                    return Err(PostgresError::start(home, format!("it ended with {}", describe(status))));
                }
            }
            attempt += 1;
        }
    }

    fn launch(installation: &Installation, home: &Home, temporary: bool, port: u16) -> Result<Self, PostgresError> {
        let log = home.start_log()?;
        let clone = |log: &File| log.try_clone().map(Stdio::from).map_err(PostgresError::run("postgres"));
        let mut command = isolated(Path::new("/bin/sh"), home.account());
        command
            .args(["-c", GUARD, "gristmill-guard"])
            .arg(installation.program("postgres"))
            .arg("-D")
            .arg(home.cluster());
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c"]);
        command.arg(format!("port={port}"));
        if temporary {
            command.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
        }
        command.stdin(Stdio::piped()).stdout(clone(&log)?).stderr(clone(&log)?).process_group(0);
        let mut guard = command.spawn().map_err(PostgresError::run("/bin/sh"))?;
        let lifeline =
            guard.stdin.take().ok_or_else(|| PostgresError::run("/bin/sh")(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { guard, lifeline, port })
    }

    async fn answer(
        &mut self,
        home: &Home,
        secrets: &Secrets,
        report: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, PostgresError> {
        let began = Instant::now();
        let mut recovering = false;
        loop {
            tokio::select! {
                biased;
                status = self.guard.wait() => return Ok(Answer::Ended(status.map_err(PostgresError::run("/bin/sh"))?)),
                knock = setup::knock(self.port, secrets) => match knock {
                    setup::Knock::Open => return Ok(Answer::Ready),
                    setup::Knock::Recovering => {
                        if !std::mem::replace(&mut recovering, true) && began.elapsed() > Duration::from_secs(2) {
                            report(Progress::Recovering);
                        }
                    }
                    setup::Knock::Silent => {}
                    setup::Knock::Refused(source) => return Err(PostgresError::SetUp { action: "connecting", source }),
                }
            }
            let patience = if recovering { RECOVERY } else { PATIENCE };
            if began.elapsed() > patience {
                return Err(PostgresError::start(home, format!("it did not answer for {} s", patience.as_secs())));
            }
            tokio::time::sleep(KNOCK).await;
        }
    }

    /// The port on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Waits for an end that nobody asked for.
    pub(super) async fn ended(&mut self, home: &Home) -> PostgresError {
        match self.guard.wait().await {
            Ok(status) => PostgresError::Ended { status: describe(status), log: home.last_words() },
            Err(error) => PostgresError::run("/bin/sh")(error),
        }
    }

    /// Stops the server and waits for its end.
    pub(super) async fn stop(mut self, home: &Home) -> Result<(), PostgresError> {
        drop(self.lifeline);
        let ended = tokio::time::timeout(SHUTDOWN, self.guard.wait()).await;
        if let Ok(Err(error)) = ended {
            return Err(PostgresError::run("/bin/sh")(error));
        }
        // Nothing to do here, unless the guard was killed or the server does not stop.
        previous::stop(&home.cluster(), &|_| {}).await
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        // What a shell makes of a signal that ended its child.
        (Some(code @ 129..), _) => format!("signal {}", code - 128),
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("its guard got signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn free_port() -> Result<u16, PostgresError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(PostgresError::files("looking for a free port on", "127.0.0.1"))
}

/// Whether somebody else listens on the port now.
fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}
