//! What a test of the contract plays on: a delivery, and the servers behind it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use gristmill_core::{ids::JobId, secret::Secret};
use gristmill_engine::delivery::{ApalisDelivery, Delivery, Demand, MemoryDelivery, Message, RedisDelivery, Servers};
use uuid::Uuid;

use crate::servers::{Authority, Server, free_port, until};

/// A delivery and its servers.
pub(crate) struct Stage {
    /// The servers, the one that is to be killed first.
    pub(crate) servers: Vec<Server>,
    road: Road,
    url: String,
    authority: Option<String>,
}

enum Road {
    /// One per prefix.
    Memory(Mutex<HashMap<String, Arc<MemoryDelivery>>>),
    Redis,
    Apalis,
}

impl Stage {
    pub(crate) async fn memory() -> Self {
        let road = Road::Memory(Mutex::default());
        Self { servers: Vec::new(), road, url: String::new(), authority: None }
    }

    pub(crate) async fn redis(arguments: &[&str]) -> Self {
        Self::on(Server::start(arguments).await, Road::Redis)
    }

    pub(crate) async fn password() -> Self {
        Self::on(Server::with_password("sesame", &[]).await, Road::Redis)
    }

    pub(crate) async fn apalis() -> Self {
        Self::on(Server::start(&[]).await, Road::Apalis)
    }

    pub(crate) async fn tls() -> Self {
        let authority = Authority::new();
        let stage = Self::on(Server::with_tls(&authority).await, Road::Redis);
        Self { authority: Some(authority.pem), ..stage }
    }

    pub(crate) async fn sentinel() -> Self {
        Self::behind_sentinel(Road::Redis).await
    }

    pub(crate) async fn apalis_behind_sentinel() -> Self {
        Self::behind_sentinel(Road::Apalis).await
    }

    fn on(server: Server, road: Road) -> Self {
        Self { url: server.url(), servers: vec![server], road, authority: None }
    }

    /// A master, its replica and three sentinels, of whom two must agree.
    async fn behind_sentinel(road: Road) -> Self {
        const PASSWORD: &str = "sesame";
        let master = Server::with_password(PASSWORD, &[]).await;
        let of = master.port.to_string();
        let replica = Server::with_password(PASSWORD, &["--replicaof", "127.0.0.1", &of]).await;
        until("the replica follows its master", async || {
            replica.command::<String>("INFO replication").await.unwrap().contains("master_link_status:up")
        })
        .await;
        let mut servers = vec![master, replica];
        for _ in 0..3 {
            servers.push(Server::sentinel(&servers[0], PASSWORD).await);
        }
        for sentinel in &servers[2..] {
            until("the sentinels know of each other and of the replica", async || {
                let info: Vec<String> = sentinel.command("SENTINEL MASTER mymaster").await.unwrap();
                let field = |name: &str| info.iter().skip_while(|word| *word != name).nth(1).cloned();
                (field("num-other-sentinels"), field("num-slaves")) == (Some("2".into()), Some("1".into()))
            })
            .await;
        }
        let sentinels: Vec<String> = servers[2..].iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        let url = format!("redis+sentinel://:{PASSWORD}@{}/mymaster", sentinels.join(","));
        Self { servers, road, url, authority: None }
    }

    /// Three nodes that share the slots.
    pub(crate) async fn cluster() -> Self {
        let mut servers = Vec::new();
        for slots in ["0 5460", "5461 10922", "10923 16383"] {
            let bus = free_port().to_string();
            let arguments =
                ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-require-full-coverage", "no"];
            let node = Server::start(&arguments).await;
            let epoch = servers.len() + 1;
            let () = node.command(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}")).await.unwrap();
            let () = node.command(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await.unwrap();
            if let Some((first, _)) = servers.first() {
                let first: &Server = first;
                let () = first.command(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port)).await.unwrap();
            }
            servers.push((node, bus));
        }
        let servers: Vec<Server> = servers.into_iter().map(|(node, _)| node).collect();
        for node in &servers {
            until("the node knows who has which slots", async || {
                let info: String = node.command("CLUSTER INFO").await.unwrap();
                info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
            })
            .await;
        }
        let nodes: Vec<String> = servers.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        let url = format!("redis+cluster://{}", nodes.join(","));
        Self { servers, road: Road::Redis, url, authority: None }
    }

    /// Where the servers are.
    pub(crate) fn address(&self) -> Servers {
        let authority = self.authority.clone().map(String::into_bytes);
        Servers::parse(&Secret::new(self.url.as_str()), authority).unwrap()
    }

    /// The delivery as a process has it.
    pub(crate) async fn join(&self, prefix: &str) -> Arc<dyn Delivery> {
        match &self.road {
            Road::Memory(all) => all.lock().unwrap().entry(prefix.to_owned()).or_default().clone(),
            Road::Redis => Arc::new(RedisDelivery::connect_to(self.address(), prefix).await.unwrap()),
            Road::Apalis => Arc::new(ApalisDelivery::connect_to(self.address(), prefix).await.unwrap()),
        }
    }
}

/// What no other test's keys start with.
pub(crate) fn prefix() -> String {
    format!("test-{}", Uuid::now_v7().simple())
}

/// A message of a new job.
pub(crate) fn message(score: i64) -> Message {
    Message { score, job_id: JobId::generate(), dispatch_seq: 1, kind: "document.ingest".into() }
}

/// Whoever wants `most` at a time.
pub(crate) fn up_to(most: usize) -> Demand {
    Arc::new(move || most)
}
