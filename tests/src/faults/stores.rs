//! A Postgres and a Redis that nobody else uses, so that they may be killed.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::watch,
};

use super::process::{program, send};

/// How long a store may take to come up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a server that is not our child.
const LOOK: Duration = Duration::from_millis(20);

/// A Postgres of our own, run by `gristmill postgres`, durable as in production.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    owner: Child,
    url: String,
    address: watch::Sender<SocketAddr>,
}

impl Postgres {
    /// Makes a new one in `folder`.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(folder: PathBuf) -> Self {
        let (owner, url) = launch(&folder).await;
        let address = watch::Sender::new(address(&url));
        Self { folder, owner, url, address }
    }

    /// Where it is now, as a URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its URL for somebody who reaches it through `proxy`.
    pub fn url_through(&self, proxy: SocketAddr) -> String {
        through(&self.url, proxy)
    }

    /// Where it is, also after it has come back elsewhere.
    pub fn address(&self) -> watch::Receiver<SocketAddr> {
        self.address.subscribe()
    }

    /// Lets it crash: an immediate shutdown writes nothing out, so that it recovers from its log. Then starts it again.
    ///
    /// # Panics
    /// When it does not end, or does not come up again.
    pub async fn crash(&mut self) {
        let text = tokio::fs::read_to_string(self.folder.join("cluster/postmaster.pid")).await.unwrap();
        let pid = text.lines().next().and_then(|line| Pid::from_raw(line.trim().parse().ok()?));
        kill_process(pid.expect("postmaster.pid names a process"), Signal::QUIT).unwrap();
        tokio::time::timeout(PATIENCE, self.owner.wait()).await.expect("a crash is an end").unwrap();
        (self.owner, self.url) = launch(&self.folder).await;
        self.address.send_replace(address(&self.url));
    }

    /// Stops it.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&mut self) {
        send(&self.owner, Signal::TERM);
        tokio::time::timeout(PATIENCE, self.owner.wait()).await.expect("Postgres stops").unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever starts Postgres lends it its own environment")]
async fn launch(folder: &Path) -> (Child, String) {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.with_extension("log")).unwrap();
    let mut command = Command::new(program("gristmill"));
    command.arg("postgres").arg("--data-dir").arg(folder).env_clear();
    // Where installations are found, and kept.
    for name in ["PATH", "HOME", "XDG_CACHE_HOME", "GRISTMILL_POSTGRES_BIN"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let mut owner = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(owner.stdout.take().expect("its output is ours")).lines();
    let url = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("Postgres starts in time").unwrap();
    (owner, url.expect("`gristmill postgres` prints the URL; see its log"))
}

/// The same database for somebody who reaches it through `proxy`.
pub fn through(url: &str, proxy: SocketAddr) -> String {
    url.replace(&address(url).to_string(), &proxy.to_string())
}

/// The address in a URL such as `postgres://role:password@127.0.0.1:5432/name`.
///
/// # Panics
/// When there is none.
pub fn address(url: &str) -> SocketAddr {
    let after = url.rsplit_once('@').map_or(url, |(_, after)| after);
    after.split('/').next().unwrap_or_default().parse().expect("the URL has an address and a port")
}

/// A Redis of our own, on one port all its lives. It keeps nothing.
#[derive(Debug)]
pub struct Redis {
    server: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Redis {
    /// Starts one that logs into `folder`.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(folder: PathBuf) -> Self {
        // Somebody else may take a free port before Redis does.
        for _ in 0..20 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
            let mut redis = Self { server: serve(&folder, free), address: free, folder: folder.clone() };
            if redis.answers().await {
                return redis;
            }
        }
        panic!("redis-server does not start: see redis.log");
    }

    /// Where it is, also after it has come back.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it and starts it again, empty.
    ///
    /// # Panics
    /// When it does not come up again.
    pub async fn restart(&mut self) {
        self.server.kill().await.unwrap();
        self.server = serve(&self.folder, self.address);
        assert!(self.answers().await, "Redis does not come back: see redis.log");
    }

    /// Makes it forget everything.
    ///
    /// # Panics
    /// When it cannot be told.
    pub async fn flush(&self) {
        let client = redis::Client::open(format!("redis://{}", self.address)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.unwrap();
    }

    /// Waits until it answers; false if it ended instead.
    async fn answers(&mut self) -> bool {
        let client = redis::Client::open(format!("redis://{}", self.address)).unwrap();
        let knocking = async {
            loop {
                if self.server.try_wait().unwrap().is_some() {
                    return false;
                }
                if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
                    // It is ours if it is alive after somebody has answered there.
                    let answered = redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok();
                    if answered && self.server.try_wait().unwrap().is_none() {
                        return true;
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, knocking).await.expect("Redis answers or ends")
    }
}

fn serve(folder: &Path, address: SocketAddr) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("redis.log")).unwrap();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
    command.arg("--port").arg(address.port().to_string()).arg("--dir").arg(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
    command.spawn().expect("redis-server is installed: run the tests by bin/test")
}
