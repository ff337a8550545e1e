//! Redis servers of a test's own: they listen on free ports of 127.0.0.1, keep their files in a temporary folder and
//! end with the test.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use redis::{Client, FromRedisValue, TlsCertificates};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything in a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running `redis-server`.
pub(crate) struct Server {
    pub(crate) port: u16,
    arguments: Vec<String>,
    login: String,
    authority: Option<String>,
    folders: Vec<TempDir>,
    process: Child,
}

impl Server {
    /// Starts one with these arguments besides the usual ones.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let port = free_port();
        Self::launch(port, "", None, words(&[&["--port", &port.to_string()], arguments])).await
    }

    /// Starts one that wants `password`, which a URL may hold as it is.
    pub(crate) async fn with_password(password: &str, arguments: &[&str]) -> Self {
        let port = free_port();
        let wanted = ["--port", &port.to_string(), "--requirepass", password, "--masterauth", password];
        Self::launch(port, &format!(":{password}@"), None, words(&[&wanted, arguments])).await
    }

    /// Starts one that speaks TLS only, with a certificate of `authority` for 127.0.0.1.
    pub(crate) async fn with_tls(authority: &Authority) -> Self {
        let (port, (certificate, key)) = (free_port(), authority.certificate());
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| write(&folder, name, text);
        let files = [file("server.pem", &certificate), file("server.key", &key), file("ca.pem", &authority.pem)];
        let port_text = port.to_string();
        let tls = [
            ["--port", "0"],
            ["--tls-port", &port_text],
            ["--tls-cert-file", &files[0]],
            ["--tls-key-file", &files[1]],
            ["--tls-ca-cert-file", &files[2]],
            ["--tls-auth-clients", "no"],
        ];
        let mut server = Self::launch(port, "", Some(authority.pem.clone()), words(&[tls.as_flattened()])).await;
        server.folders.push(folder);
        server
    }

    /// Starts a sentinel that watches `master`, under the name `mymaster`.
    pub(crate) async fn sentinel(master: &Self, password: &str) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let watched = master.port;
        let text = format!(
            "port {port}\nsentinel monitor mymaster 127.0.0.1 {watched} 2\nsentinel auth-pass mymaster {password}\n\
             sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 3000\n"
        );
        let file = write(&folder, "sentinel.conf", &text);
        let mut server = Self::launch(port, "", None, words(&[&[&file, "--sentinel"]])).await;
        server.folders.push(folder);
        server
    }

    async fn launch(port: u16, login: &str, authority: Option<String>, mut arguments: Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        arguments.extend(words(&[&["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", path]]));
        let process = run(&arguments);
        let server = Self { port, arguments, login: login.to_owned(), authority, folders: vec![folder], process };
        server.until_it_answers().await;
        server
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{}127.0.0.1:{}", self.login, self.port)
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again, on the same port and with the same folder, after it was killed.
    pub(crate) async fn start_again(&mut self) {
        self.process = run(&self.arguments);
        self.until_it_answers().await;
    }

    /// Stops it from doing anything, and lets it go on.
    pub(crate) fn freeze(&self) {
        kill_process(Pid::from_child(&self.process), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        kill_process(Pid::from_child(&self.process), Signal::CONT).unwrap();
    }

    /// Carries out a command whose words are separated by spaces.
    pub(crate) async fn command<T: FromRedisValue>(&self, words: &str) -> redis::RedisResult<T> {
        let mut connection = self.client().get_multiplexed_async_connection().await?;
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query_async(&mut connection).await
    }

    fn client(&self) -> Client {
        match &self.authority {
            None => Client::open(self.url()).unwrap(),
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone().into_bytes()) };
                Client::build_with_tls(self.url(), certificates).unwrap()
            }
        }
    }

    async fn until_it_answers(&self) {
        until("redis-server answers", async || self.command::<String>("PING").await.is_ok()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.process.kill();
        let _ended = self.process.wait();
    }
}

fn run(arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is installed: bin/setup does that")
}

fn words(parts: &[&[&str]]) -> Vec<String> {
    parts.concat().into_iter().map(str::to_owned).collect()
}

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Looks until it is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < PATIENCE, "this never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Someone who signs certificates.
pub(crate) struct Authority {
    /// Its own certificate.
    pub(crate) pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: rcgen::Issuer::new(params, key) }
    }

    /// A certificate for 127.0.0.1, and its key.
    fn certificate(&self) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}
