//! An installation of real processes with stores of its own, where every wire between them can break.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{process::Command, sync::watch};

use super::{
    link::{Link, Valve},
    process::{Ending, Kept, Recipe, Witness, program},
    schedule::{Climate, Fault, Store},
    standing::{Hindrance, Part, Standing},
    stores::{Postgres, Redis},
};

/// Connections per process: all of them together stay below what Postgres allows.
const CONNECTIONS: &str = "8";

/// API, workers and schedulers as processes, a Postgres, a Redis, and the wires between them.
#[derive(Debug)]
pub struct Town {
    /// Whether jobs can be expected to move.
    pub standing: Standing,
    /// Where the API listens.
    pub api_address: SocketAddr,
    /// An admin key.
    pub key: String,
    postgres: tokio::sync::Mutex<Postgres>,
    redis: tokio::sync::Mutex<Redis>,
    redis_target: watch::Sender<SocketAddr>,
    /// Every wire to Postgres, and every one to Redis.
    valves: [Arc<Valve>; 2],
    api: Kept,
    workers: Vec<(Kept, Wires)>,
    schedulers: Vec<(Kept, Wires)>,
    settings: Settings,
    endings: Arc<Mutex<Vec<Ending>>>,
    folder: TempDir,
    _api_wires: Wires,
}

/// What every process is told.
#[derive(Debug, Clone)]
struct Settings {
    lease: Duration,
    more: Vec<(String, String)>,
    folder: PathBuf,
}

/// The two wires of one process.
#[derive(Debug)]
struct Wires {
    own: Arc<Valve>,
    postgres: Link,
    redis: Link,
}

impl Town {
    /// Builds it. `more` are settings by the names of their environment variables.
    ///
    /// # Panics
    /// When a store or a process cannot be started.
    pub async fn build(seed: u64, climate: &Climate, more: Vec<(String, String)>) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        // The server of a private Postgres may be another user, who has to pass through.
        let open = std::fs::Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().prefix("gristmill-faults-").permissions(open).tempdir().unwrap();
        let (postgres, redis) =
            tokio::join!(Postgres::start(folder.path().join("postgres")), Redis::start(folder.path().to_owned()));
        let key = migrate(postgres.url()).await;
        let standing = Standing::new(climate.workers, climate.schedulers);
        let endings = Arc::<Mutex<Vec<Ending>>>::default();
        let settings = Settings { lease: climate.lease, more, folder: folder.path().to_owned() };
        let wiring = Wiring {
            postgres: postgres.address(),
            redis: watch::Sender::new(redis.address()),
            valves: Default::default(),
        };
        let api_address = free_address();
        let witness = |part| Arc::new(Watched::new(part, standing.clone(), endings.clone()));
        let api_wires = wiring.wires().await;
        let mut recipe = settings.recipe("api", "api", &postgres, &api_wires);
        recipe.environment.push(("GRISTMILL_BIND".into(), api_address.to_string()));
        let api = Kept::start(recipe, seed, witness(Part::Api));
        let mut workers = Vec::new();
        for index in 0..climate.workers {
            let wires = wiring.wires().await;
            let recipe = settings.recipe(&format!("worker-{index}"), "gristmill-test-worker", &postgres, &wires);
            workers.push((Kept::start(recipe, seed + 1 + index as u64, witness(Part::Worker(index))), wires));
        }
        let mut schedulers = Vec::new();
        for index in 0..climate.schedulers {
            let wires = wiring.wires().await;
            let recipe = settings.recipe(&format!("scheduler-{index}"), "scheduler", &postgres, &wires);
            schedulers.push((Kept::start(recipe, seed + 101 + index as u64, witness(Part::Scheduler(index))), wires));
        }
        Self {
            standing,
            api_address,
            key,
            postgres: postgres.into(),
            redis: redis.into(),
            redis_target: wiring.redis,
            valves: wiring.valves,
            api,
            workers,
            schedulers,
            settings,
            endings,
            folder,
            _api_wires: api_wires,
        }
    }

    /// Where Postgres is now, past all wires.
    pub async fn database_url(&self) -> String {
        self.postgres.lock().await.url().to_owned()
    }

    /// Where the logs of everybody are.
    pub fn logs(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder with the logs when the town is gone.
    pub fn keep_logs(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// How processes have ended so far.
    pub fn endings(&self) -> Vec<Ending> {
        self.endings.lock().unwrap().clone()
    }

    /// Lets `fault` strike, and returns when it is over.
    pub async fn strike(&self, fault: Fault) {
        match fault {
            Fault::KillWorker(index) => self.workers[index].0.signal(Signal::KILL),
            Fault::KillScheduler(index) => self.schedulers[index].0.signal(Signal::KILL),
            Fault::KillApi => self.api.signal(Signal::KILL),
            Fault::LoseWorker(index) => lose(&self.workers[index]),
            Fault::LoseScheduler(index) => lose(&self.schedulers[index]),
            Fault::AskWorker(index) => self.workers[index].0.signal(Signal::TERM),
            Fault::StopWorker(index, pause) => self.hold(&self.workers[index].0, Part::Worker(index), pause).await,
            Fault::StopScheduler(index, pause) => {
                self.hold(&self.schedulers[index].0, Part::Scheduler(index), pause).await;
            }
            Fault::StopApi(pause) => self.hold(&self.api, Part::Api, pause).await,
            Fault::Visitor(stay) => self.visit(stay).await,
            Fault::Cut(store, outage) => {
                let _trouble = (self.away(), self.valve(store).cut());
                tokio::time::sleep(outage).await;
            }
            Fault::Freeze(store, outage) => {
                let _trouble = (self.away(), self.valve(store).freeze());
                tokio::time::sleep(outage).await;
            }
            Fault::Isolate(index, outage) => {
                let _trouble = (self.standing.hinder(Part::Worker(index)), self.workers[index].1.own.freeze());
                tokio::time::sleep(outage).await;
            }
            Fault::Slow(store, while_) => {
                let _trouble = self.valve(store).slow();
                tokio::time::sleep(while_).await;
            }
            Fault::CutBoth(outage) => {
                let _trouble = (self.away(), self.valves[0].cut(), self.valves[1].cut());
                tokio::time::sleep(outage).await;
            }
            Fault::FlushRedis => self.redis.lock().await.flush().await,
            Fault::RestartRedis => {
                let _away = self.away();
                self.redis.lock().await.restart().await;
            }
            Fault::CrashPostgres => {
                let _away = self.away();
                self.postgres.lock().await.crash().await;
            }
        }
    }

    /// Stops everything, workers first.
    pub async fn stop(&self) {
        for (kept, _) in self.workers.iter().chain(&self.schedulers) {
            kept.stop().await;
        }
        self.api.stop().await;
        self.postgres.lock().await.stop().await;
    }

    fn away(&self) -> Hindrance {
        self.standing.hinder(Part::Store)
    }

    fn valve(&self, store: Store) -> &Arc<Valve> {
        match store {
            Store::Postgres => &self.valves[0],
            Store::Redis => &self.valves[1],
        }
    }

    async fn hold(&self, kept: &Kept, part: Part, pause: Duration) {
        let _hindered = self.standing.hinder(part);
        kept.signal(Signal::STOP);
        tokio::time::sleep(pause).await;
        kept.signal(Signal::CONT);
    }

    /// A worker that nobody starts again.
    async fn visit(&self, stay: Duration) {
        let wiring = Wiring {
            postgres: self.postgres.lock().await.address(),
            redis: self.redis_target.clone(),
            valves: self.valves.clone(),
        };
        let wires = wiring.wires().await;
        let recipe = self.settings.recipe("visitor", "gristmill-test-worker", &*self.postgres.lock().await, &wires);
        let mut visitor = recipe.start();
        tokio::time::sleep(stay).await;
        visitor.kill().await.unwrap();
    }
}

fn lose((kept, wires): &(Kept, Wires)) {
    wires.own.lose();
    kept.signal(Signal::KILL);
}

/// What a new wire leads through and to.
struct Wiring {
    postgres: watch::Receiver<SocketAddr>,
    redis: watch::Sender<SocketAddr>,
    valves: [Arc<Valve>; 2],
}

impl Wiring {
    async fn wires(&self) -> Wires {
        let own = Arc::<Valve>::default();
        let postgres = Link::open(self.postgres.clone(), [self.valves[0].clone(), own.clone()]).await.unwrap();
        let redis = Link::open(self.redis.subscribe(), [self.valves[1].clone(), own.clone()]).await.unwrap();
        Wires { own, postgres, redis }
    }
}

impl Settings {
    fn recipe(&self, name: &str, program_name: &str, postgres: &Postgres, wires: &Wires) -> Recipe {
        let set = |name: &str, value: String| (name.to_owned(), value);
        let mut environment = vec![
            set("DATABASE_URL", postgres.url_through(wires.postgres.address())),
            set("REDIS_URL", format!("redis://{}", wires.redis.address())),
            set("GRISTMILL_DATABASE_CONNECTIONS", CONNECTIONS.into()),
            set("GRISTMILL_DATA_DIR", self.folder.join("files").display().to_string()),
            set("GRISTMILL_LEASE_S", self.lease.as_secs().to_string()),
            set("GRISTMILL_GRACE_S", "1".into()),
            set("GRISTMILL_LOG_FORMAT", "json".into()),
        ];
        environment.extend(self.more.clone());
        let (program, logs) = (program(program_name), self.folder.clone());
        Recipe { name: name.into(), program, arguments: Vec::new(), environment, logs }
    }
}

/// Counts a process that does not run as hindered, and remembers how it ended.
struct Watched {
    part: Part,
    standing: Standing,
    endings: Arc<Mutex<Vec<Ending>>>,
    down: Mutex<Option<Hindrance>>,
}

impl Watched {
    fn new(part: Part, standing: Standing, endings: Arc<Mutex<Vec<Ending>>>) -> Self {
        let down = Mutex::new(Some(standing.hinder(part)));
        Self { part, standing, endings, down }
    }
}

impl Witness for Watched {
    fn began(&self) {
        *self.down.lock().unwrap() = None;
    }

    fn ended(&self, ending: Ending) {
        *self.down.lock().unwrap() = Some(self.standing.hinder(self.part));
        self.endings.lock().unwrap().push(ending);
    }
}

/// Brings the schema up to date and returns the first key.
async fn migrate(url: &str) -> String {
    let mut command = Command::new(program("gristmill"));
    command.arg("migrate").env_clear().env("DATABASE_URL", url).stdin(Stdio::null());
    let done = command.output().await.expect("`gristmill migrate` can be started");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    said.lines().last().expect("the first key is shown").trim().to_owned()
}

/// An address that is free now. The API takes it again whenever it comes back.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
