//! Where Redis is: one server, a master that sentinels name, or the nodes of a cluster; each with or without TLS.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use gristmill_core::secret::Secret;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisError, RedisResult, TlsCertificates,
    TlsMode,
    aio::MultiplexedConnection,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};

/// The library's default of 500 ms would take a stall of the server for its death.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The port of Redis, and that of Sentinel.
const PORTS: [u16; 2] = [6379, 26379];

/// Where Redis is, and how it is spoken to.
///
/// | URL | means |
/// |---|---|
/// | `redis://user:password@host:port/db` | one server |
/// | `redis+sentinel://user:password@host:port,host:port/master/db` | the master of that name, as those sentinels say |
/// | `redis+cluster://user:password@host:port,host:port` | a cluster, of which those nodes are known |
///
/// With `rediss` in place of `redis` every connection is made through TLS. User and password are those of the servers;
/// sentinels that want a password too are given the one of `?sentinel_password=…`.
pub struct Servers {
    shape: Shape,
    /// `redis` or `rediss`.
    scheme: String,
    /// User and password as the URL has them, with their `@`.
    login: String,
    authority: Option<TlsCertificates>,
    /// Where the next search for a cluster's node begins, so that a dead one does not always come first.
    turn: AtomicUsize,
}

enum Shape {
    One { url: String },
    Sentinel { sentinels: Vec<Node>, master: String, db: i64, password: Option<String> },
    Cluster { nodes: Vec<Node> },
}

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// As in a URL: an IPv6 address has its brackets.
    host: String,
    port: u16,
}

/// What is wrong with an address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// No scheme that we know.
    #[error(
        "a Redis URL starts with redis://, redis+sentinel:// or redis+cluster://, or with rediss in place of redis"
    )]
    Scheme,
    /// A host or port that is none.
    #[error("\"{0}\" is not a host and a port")]
    Node(String),
    /// Sentinels without the name of a master, or with something that is no number of a database after it.
    #[error("after the sentinels comes the name of the master: redis+sentinel://host:26379,host:26379/mymaster")]
    Master,
    /// A cluster with a database.
    #[error("a Redis Cluster has no numbered databases, and nothing follows its nodes in the URL")]
    Database,
    /// The rest.
    #[error("the Redis URL or the certificate of its authority cannot be used: {0}")]
    Other(#[from] RedisError),
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest may hold a password.
        f.debug_struct("Servers").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl Servers {
    /// Reads `url`. `authority` is a certificate in PEM: with it the servers' certificates are checked against this one
    /// instead of those that the machine trusts.
    ///
    /// # Errors
    /// When the URL or the certificate cannot be read. Nothing is connected yet.
    pub fn parse(url: &Secret, authority: Option<Vec<u8>>) -> Result<Self, AddressError> {
        let (scheme, rest) = url.reveal().split_once("://").ok_or(AddressError::Scheme)?;
        let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!(scheme, "redis" | "rediss") {
            return Err(AddressError::Scheme);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, rest) = rest.rsplit_once('@').map_or(("", rest), |(login, rest)| (login, rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let shape = match kind {
            "" => Shape::One { url: url.reveal().to_owned() },
            "sentinel" => {
                let (master, db) = path.split_once('/').unwrap_or((path, "0"));
                let password = query.split('&').find_map(|part| part.strip_prefix("sentinel_password="));
                match (master, db.parse()) {
                    ("", _) | (_, Err(_)) => return Err(AddressError::Master),
                    (master, Ok(db)) => Shape::Sentinel {
                        sentinels: Node::list(hosts, PORTS[1])?,
                        master: master.to_owned(),
                        db,
                        password: password.map(decode),
                    },
                }
            }
            "cluster" if path.is_empty() && query.is_empty() => Shape::Cluster { nodes: Node::list(hosts, PORTS[0])? },
            "cluster" => return Err(AddressError::Database),
            _ => return Err(AddressError::Scheme),
        };
        let certificates = |pem| TlsCertificates { client_tls: None, root_cert: Some(pem) };
        if scheme == "rediss" {
            // The library asks for the process' provider of cryptography and panics where there is none. An error says
            // that there is one already.
            let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let servers = Self {
            shape,
            scheme: scheme.to_owned(),
            login: if login.is_empty() { String::new() } else { format!("{login}@") },
            authority: authority.map(certificates),
            turn: AtomicUsize::new(0),
        };
        servers.probe()?;
        Ok(servers)
    }

    /// Whether these are the nodes of a cluster, where each queue is somewhere else.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.shape, Shape::Cluster { .. })
    }

    /// Builds a client and throws it away: what is wrong with the address shows here.
    fn probe(&self) -> RedisResult<()> {
        match &self.shape {
            Shape::One { url } => self.open(url).map(drop),
            Shape::Sentinel { sentinels, .. } => sentinels.iter().try_for_each(|node| self.open_node(node).map(drop)),
            Shape::Cluster { nodes } => nodes.iter().try_for_each(|node| self.open_node(node).map(drop)),
        }
    }

    fn open(&self, url: &str) -> RedisResult<Client> {
        match &self.authority {
            Some(authority) if self.scheme == "rediss" => Client::build_with_tls(url, authority.clone()),
            _ => Client::open(url),
        }
    }

    fn open_node(&self, node: &Node) -> RedisResult<Client> {
        self.open(&format!("{}://{}{node}", self.scheme, self.login))
    }

    /// A connection. In a cluster it goes to `hint` where there is one, else to any node, which names the right one.
    pub(super) async fn connect(&self, hint: Option<&Node>) -> RedisResult<(MultiplexedConnection, Node)> {
        let mut failure = None;
        for client in self.clients(hint).await? {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(RESPONSE_TIMEOUT));
            match client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(connection) => return Ok((connection, Node::of(&client))),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| (redis::ErrorKind::Client, "no Redis server is known").into()))
    }

    /// Clients of the servers that may be asked, in the order in which they should be.
    pub(super) async fn clients(&self, hint: Option<&Node>) -> RedisResult<Vec<Client>> {
        match &self.shape {
            Shape::One { url } => Ok(vec![self.open(url)?]),
            Shape::Sentinel { .. } => Ok(vec![self.master().await?]),
            Shape::Cluster { nodes } => {
                let start = self.turn.fetch_add(1, Ordering::Relaxed);
                let known = (0..nodes.len()).map(|step| &nodes[start.wrapping_add(step) % nodes.len()]);
                hint.into_iter().chain(known).map(|node| self.open_node(node)).collect()
            }
        }
    }

    /// A client of the master, as sentinels name it now. Asked anew for every connection: it may have changed, and
    /// callers do not wait for one another.
    async fn master(&self) -> RedisResult<Client> {
        let Shape::Sentinel { sentinels, master, db, password } = &self.shape else {
            return Err((redis::ErrorKind::Client, "there are no sentinels").into());
        };
        let mut addresses = Vec::with_capacity(sentinels.len());
        for node in sentinels {
            addresses.push(self.open_node(node)?.get_connection_info().addr().clone());
        }
        let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?;
        let login = self.open(&format!("{}://{}localhost", self.scheme, self.login))?;
        let login = login.get_connection_info().redis_settings();
        builder = builder.set_client_to_redis_db(*db);
        if let Some(user) = login.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(word) = login.password() {
            builder = builder.set_client_to_redis_password(word);
        }
        if let Some(word) = password {
            builder = builder.set_client_to_sentinel_password(word);
        }
        if self.scheme == "rediss" {
            builder =
                builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
            if let Some(authority) = &self.authority {
                builder = builder
                    .set_client_to_redis_certificates(authority.clone())
                    .set_client_to_sentinel_certificates(authority.clone());
            }
        }
        builder.build()?.async_get_client().await
    }
}

impl Node {
    fn list(hosts: &str, port: u16) -> Result<Vec<Self>, AddressError> {
        hosts.split(',').map(|text| Self::parse(text, port)).collect()
    }

    fn parse(text: &str, default: u16) -> Result<Self, AddressError> {
        let wrong = || AddressError::Node(text.to_owned());
        let (host, port) = match text.rsplit_once(':') {
            // The last colon of `[::1]` is none before a port.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (text, default),
        };
        if host.is_empty() || port == 0 || (host.contains(':') && !host.starts_with('[')) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// Where an error says that the key is, if it does. A cluster that tells no host means the one that answered.
    pub(super) fn named_by(error: &RedisError, answered: &Self) -> Option<Self> {
        let (address, _) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        let host = match host {
            "" | "?" => answered.host.clone(),
            host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
            host => host.to_owned(),
        };
        Some(Self { host, port: port.parse().ok()? })
    }

    fn of(client: &Client) -> Self {
        match client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                Self { host, port: *port }
            }
            _ => Self { host: String::new(), port: 0 },
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// `text` without its percent signs, as the Redis library reads passwords.
fn decode(text: &str) -> String {
    let read = format!("redis://:{text}@localhost").into_connection_info();
    read.ok().and_then(|info| info.redis_settings().password().map(str::to_owned)).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use gristmill_core::secret::Secret;

    use super::{Node, Servers, Shape};

    fn parse(url: &str) -> Result<Servers, super::AddressError> {
        Servers::parse(&Secret::new(url), None)
    }

    #[test]
    fn sentinels_and_their_master_are_read() {
        let servers = parse("rediss+sentinel://me:p%40ss@a:1,[::1],c:3/mymaster/2?sentinel_password=x%2Fy").unwrap();
        let Shape::Sentinel { sentinels, master, db, password } = servers.shape else { panic!("sentinels") };
        let nodes: Vec<String> = sentinels.iter().map(Node::to_string).collect();
        assert_eq!(nodes, ["a:1", "[::1]:26379", "c:3"]);
        assert_eq!((master.as_str(), db, password.as_deref()), ("mymaster", 2, Some("x/y")));
        assert_eq!((servers.scheme.as_str(), servers.login.as_str()), ("rediss", "me:p%40ss@"));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (url, part) in [
            ("postgres://localhost", "starts with redis://"),
            ("redis+ring://localhost", "starts with redis://"),
            ("redis+sentinel://a:1,b:2", "name of the master"),
            ("redis+sentinel://a:1/mymaster/first", "name of the master"),
            ("redis+cluster://a:1,b:x", "\"b:x\" is not a host"),
            ("redis+cluster://a:1,,b:2", "\"\" is not a host"),
            ("redis+cluster://a:1/3", "no numbered databases"),
        ] {
            let said = parse(url).unwrap_err().to_string();
            assert!(said.contains(part), "{url}: {said}");
        }
    }

    #[test]
    fn an_address_never_shows_its_password() {
        let servers = parse("redis+cluster://me:hunter2@a:1").unwrap();
        assert!(!format!("{servers:?}").contains("hunter2"));
    }
}
