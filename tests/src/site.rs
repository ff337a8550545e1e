//! A whole Gristmill for one test, as callers meet it: API, worker and scheduler in this process, over HTTP.

mod client;
mod origin;
mod stream;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use gristmill_ai::{Embedders, Reranker};
use gristmill_api::App;
use gristmill_core::{
    config::Config,
    ids::{DocumentId, VersionId},
    secret::Secret,
};
use gristmill_engine::Engine;
use gristmill_extractor::Extractor;
use gristmill_process::{connect, recorder};
use gristmill_store::{
    db::{Tx as _, sql},
    keys::{self, Scope},
    orgs,
};
use gristmill_worker::Services;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::{
    client::{Answer, Client},
    origin::{ALLOWED, Origin},
    stream::{Event, Events},
};
use crate::{database, faults::process::program, world::Travel};

/// How long anything in a test may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often something is looked at that a test waits for.
const LOOK: Duration = Duration::from_millis(20);

/// A Gristmill with a database and a folder of its own, listening on a free port.
#[derive(Debug)]
pub struct Site {
    /// Calls with an admin key of the organization `default`.
    pub admin: Client,
    /// The engine below, for what no public way leads to.
    pub engine: Engine,
    /// Its database's URL.
    pub database: Secret,
    config: Config,
    folder: TempDir,
    stop: CancellationToken,
    api: Mutex<Option<JoinHandle<()>>>,
    models: Models,
}

/// The models of a site.
#[derive(Clone, Default)]
pub struct Models {
    /// Those that embed; as they are by themselves if not set.
    pub embedders: Option<Embedders>,
    /// The one that puts results in order.
    pub reranker: Option<Arc<dyn Reranker>>,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reranker = self.reranker.as_ref().map(|reranker| reranker.model());
        f.debug_struct("Models").field("embedders", &self.embedders).field("reranker", &reranker).finish()
    }
}

/// Which parts of a Gristmill run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// API, worker and scheduler.
    All,
    /// API and scheduler: whatever is submitted waits.
    NoWorker,
}

impl Site {
    /// All parts, with the settings that hold where nothing is set.
    pub async fn start(travel: Travel) -> Self {
        Self::with(travel, Parts::All, &[]).await
    }

    /// These parts, with `settings` by the names of their environment variables.
    pub async fn with(travel: Travel, parts: Parts, settings: &[(&str, &str)]) -> Self {
        Self::asking(travel, parts, settings, Models::default()).await
    }

    /// The same with other models than would be asked by themselves.
    pub async fn asking(travel: Travel, parts: Parts, settings: &[(&str, &str)], models: Models) -> Self {
        let _already_set = tracing_subscriber::fmt().with_env_filter("info,sqlx=off").with_test_writer().try_init();
        let metrics = recorder::handle();
        let database = database::fresh().await;
        let folder = tempfile::tempdir().unwrap();
        let config = config(travel, folder.path(), settings);
        let engine = connect::engine(&config, &database).await.unwrap();
        let key = furnish(&engine).await;
        let files = connect::files(&config.storage).await.unwrap();
        let mut services = Services::new(&config, files, extractor(&config)).unwrap();
        services.embedders = models.embedders.clone().unwrap_or(services.embedders);
        let worker = gristmill_worker::worker(engine.clone(), services.clone(), &config.worker);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = App {
            engine: engine.clone(),
            files: services.files,
            embedders: services.embedders,
            reranker: models.reranker.clone(),
            http: config.http.clone(),
            fetcher: services.fetcher,
            worker: (parts == Parts::All).then(|| worker.health()),
            metrics,
        };
        let stop = CancellationToken::new();
        let router = gristmill_api::router(app).unwrap();
        let serving = tokio::spawn(gristmill_api::serve(listener, router, stop.clone()));
        let api = Mutex::new(Some(serving));
        let site = Self { admin: Client::new(address, key), engine, database, config, folder, stop, api, models };
        site.schedule();
        if parts == Parts::All {
            tokio::spawn(worker.run(site.stop.clone()));
        }
        site
    }

    /// Starts a scheduler; beside the one that runs, another.
    pub fn schedule(&self) {
        let (engine, stop, lease) = (self.engine.clone(), self.stop.clone(), self.config.worker.lease);
        tokio::spawn(async move { gristmill_scheduler::run(&engine, lease, stop).await });
    }

    /// Starts a worker, for a site that was started without.
    pub async fn work(&self) {
        let files = connect::files(&self.config.storage).await.unwrap();
        let mut services = Services::new(&self.config, files, extractor(&self.config)).unwrap();
        services.embedders = self.models.embedders.clone().unwrap_or(services.embedders);
        let worker = gristmill_worker::worker(self.engine.clone(), services, &self.config.worker);
        tokio::spawn(worker.run(self.stop.clone()));
    }

    /// What a process of its own needs in its environment to be part of this site.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let redis = self.config.delivery.redis_url.as_ref().expect("separate processes meet in Redis");
        vec![
            ("DATABASE_URL", self.database.reveal().to_owned()),
            ("REDIS_URL", redis.reveal().to_owned()),
            ("GRISTMILL_REDIS_PREFIX", self.config.delivery.prefix.clone()),
            ("GRISTMILL_DATA_DIR", self.config.storage.data_dir.display().to_string()),
            ("GRISTMILL_LEASE_S", self.config.worker.lease.as_secs().to_string()),
        ]
    }

    /// Stops everything as a signal would, and waits for the end of the API.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&self) {
        self.stop.cancel();
        let serving = self.api.lock().unwrap().take().expect("a site is stopped once");
        tokio::time::timeout(PATIENCE, serving).await.expect("an API that is told to stop stops").unwrap();
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Every file that is stored on disk now, whatever folder it is in.
    pub fn stored_files(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.folder.path().join("files")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found
    }

    /// A new organization called `name`, made over HTTP, and calls with a key of it that holds `scopes`.
    pub async fn organization(&self, name: &str, scopes: &[&str]) -> Client {
        let org = self.admin.post("/v1/orgs", &serde_json::json!({ "name": name })).await.is(201);
        self.key(&format!("/v1/orgs/{}", org.id()), scopes).await
    }

    /// Calls with a new key, made over HTTP, of the organization at `org` (such as `/v1/orgs/org_…`).
    pub async fn key(&self, org: &str, scopes: &[&str]) -> Client {
        let asked = serde_json::json!({ "name": scopes.join("+"), "scopes": scopes });
        let made = self.admin.post(&format!("{org}/keys"), &asked).await.is(201);
        self.admin.with_key(made.json["key"].as_str().expect("a new key is shown"))
    }

    /// How many rows there are of `what`: a table, with a `WHERE` if need be.
    pub async fn count(&self, what: &str) -> i64 {
        #[derive(sea_orm::FromQueryResult)]
        struct Row {
            rows: i64,
        }
        let tx = self.engine.db().system().await.unwrap();
        let row: Option<Row> = tx.one(sql(&format!("SELECT count(*) AS rows FROM {what}"), [])).await.unwrap();
        row.unwrap().rows
    }

    /// The UUID in a document's or a version's id, as the database writes it.
    pub fn uuid(&self, id: &str) -> String {
        match id.split_once('_') {
            Some(("doc", _)) => id.parse::<DocumentId>().unwrap().uuid().to_string(),
            _ => id.parse::<VersionId>().unwrap().uuid().to_string(),
        }
    }

    /// Runs SQL as the system, for setting a scene that no public way leads to.
    pub async fn sql(&self, text: &str) {
        let tx = self.engine.db().system().await.unwrap();
        tx.execute(sql(text, [])).await.unwrap();
        tx.commit().await.unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Looks until `look` finds something.
///
/// # Panics
/// When it has found nothing for half a minute; `what` says what was waited for.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(LOOK).await;
    }
}

fn config(travel: Travel, folder: &Path, settings: &[(&str, &str)]) -> Config {
    let read = |name: &str| {
        if let Some((_, value)) = settings.iter().find(|(set, _)| *set == name) {
            return Some((*value).to_owned());
        }
        match name {
            "GRISTMILL_DATA_DIR" => Some(folder.display().to_string()),
            "GRISTMILL_DATABASE_CONNECTIONS" => Some("10".to_owned()),
            "GRISTMILL_GRACE_S" => Some("0".to_owned()),
            "REDIS_URL" => (travel == Travel::Redis).then(|| database::setting("GRISTMILL_TEST_REDIS_URL")),
            "GRISTMILL_REDIS_PREFIX" => Some(format!("test-{}", uuid::Uuid::now_v7().simple())),
            _ => None,
        }
    };
    Config::read(read).unwrap()
}

/// Readers of documents that are the test double, for tests are no program that could be its own.
fn extractor(config: &Config) -> Extractor {
    Extractor::of(program("gristmill-test-extractor"), &config.extract, config.worker.ingest_slots())
}

/// What `gristmill migrate` leaves behind: the kinds of job, the first organization and its key.
async fn furnish(engine: &Engine) -> Secret {
    let tx = engine.db().system().await.unwrap();
    gristmill_worker::jobs::kinds().publish(&tx).await.unwrap();
    let org = orgs::create(&tx, "default").await.unwrap().unwrap().id;
    let (_, key) = keys::create(&tx, org, "first key", &[Scope::Admin]).await.unwrap();
    tx.commit().await.unwrap();
    key
}
