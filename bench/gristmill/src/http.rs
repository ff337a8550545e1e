//! Gristmill over HTTP: jobs are handed in to an `api` process on this machine.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use gristmill_store::keys::{self, Scope};
use reqwest::{Client, StatusCode};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    place::{self, Run, variable},
    workloads::{Load, Result, System, Tally},
};

/// How long the API may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of an `api` process.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client,
    key: Arc<str>,
    address: SocketAddr,
    _api: Arc<Api>,
}

/// The process, killed when the last client is gone, and its folder for files.
struct Api {
    _process: Child,
    _files: TempDir,
}

impl Http {
    /// Starts `program` over BENCH_POSTGRES and BENCH_REDIS and waits until it is ready.
    #[expect(clippy::disallowed_methods, reason = "a client for one address, of a process that this one started")]
    pub(crate) async fn start(program: &str) -> Result<Self> {
        let place = place::open("redis").await?;
        let tx = place.engine.db().system().await?;
        let org = *place.orgs.first().ok_or("there is no organization")?;
        let (_, key) = keys::create(&tx, org, "bench", &[Scope::Admin]).await?;
        tx.commit().await?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let files = tempfile::tempdir()?;
        let process = Command::new(program)
            .env("DATABASE_URL", variable("BENCH_POSTGRES").unwrap_or_default())
            .env("REDIS_URL", variable("BENCH_REDIS").unwrap_or_default())
            .env("GRISTMILL_DATA_DIR", files.path())
            .env("GRISTMILL_BIND", address.to_string())
            .env("GRISTMILL_LOG", "error")
            .kill_on_drop(true)
            .spawn()?;
        let client = Client::builder().no_proxy().build()?;
        let api = Arc::new(Api { _process: process, _files: files });
        let started = Self { client, key: key.reveal().into(), address, _api: api };
        started.until_ready().await?;
        Ok(started)
    }

    async fn until_ready(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.client.get(format!("http://{}/readyz", self.address)).send().await {
                Ok(answer) if answer.status() == StatusCode::OK => return Ok(()),
                _ if began.elapsed() > PATIENCE => return Err("the API does not become ready".into()),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn post(&self, path: &str, body: &Json) -> Result<()> {
        let request = self.client.post(format!("http://{}{path}", self.address)).bearer_auth(&self.key).json(body);
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        // Whatever is not accepted is no throughput.
        if status.is_success() { Ok(()) } else { Err(format!("{path} answered {status}: {text}").into()) }
    }
}

fn body(load: Load) -> Result<Json> {
    Ok(json!({ "kind": "bench.run", "args": serde_json::to_value(Run::from(load))? }))
}

impl System for Http {
    async fn enqueue(&self, load: Load) -> Result<()> {
        self.post("/v1/jobs", &body(load)?).await
    }

    async fn enqueue_many(&self, loads: Vec<Load>) -> Result<()> {
        let jobs: Result<Vec<Json>> = loads.into_iter().map(body).collect();
        self.post("/v1/jobs:batch", &json!({ "jobs": jobs? })).await
    }

    async fn work(&self, _: usize, _: Arc<Tally>) -> Result<()> {
        Err("over HTTP jobs are handed in, not run".into())
    }

    async fn finished(&self) -> Result<usize> {
        Err("over HTTP jobs are handed in, not run".into())
    }
}
