//! A whole engine for one test: its own database, its own Redis keys, workers that come and go.

use std::{sync::Arc, time::Duration};

use gristmill_core::{
    ids::{JobId, OrgId},
    secret::Secret,
};
use gristmill_engine::{
    Engine, NewJob,
    control::{Action, Controlled},
    delivery::{ApalisDelivery, Delivery, MemoryDelivery, RedisDelivery, Servers},
    dispatch::Pace,
    flow::{Scope, Subject},
    limits::{self, Setting},
    submit::{SubmitError, Submitted},
    worker::{Limits, Worker},
};
use gristmill_store::{
    Db,
    db::{Tx as _, sql},
    job_events::{self, JobEvent},
    jobs::{self, Job},
    orgs,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    database,
    kinds::{Act, Play, Services, kinds},
};

/// How ids travel in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Travel {
    /// Inside the process.
    Memory,
    /// Through the Redis that `bin/test` runs.
    Redis,
    /// The same, through apalis-redis' own queues.
    ApalisRedis,
}

/// How long anything in a test may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine with a database of its own.
#[derive(Debug)]
pub struct World {
    /// The engine.
    pub engine: Engine,
    /// Its database's URL.
    pub url: Secret,
    /// What its Redis keys start with.
    pub prefix: String,
    /// An organization.
    pub org: OrgId,
    /// What the test and its jobs share.
    pub stage: Services,
    background: CancellationToken,
}

/// A worker that a test started.
#[derive(Debug)]
pub struct RunningWorker {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    /// A world in which nothing moves yet: no dispatcher, no sweeper, no worker.
    pub async fn still(travel: Travel) -> Self {
        let _already_set = tracing_subscriber::fmt().with_env_filter("info,sqlx=off").with_test_writer().try_init();
        let url = database::fresh().await;
        let db = Db::connect(&url, 10).await.unwrap();
        let prefix = format!("test-{}", Uuid::now_v7().simple());
        let engine = Engine::new(db.clone(), delivery(travel, &prefix).await, 1_000);
        let tx = db.system().await.unwrap();
        tx.execute(sql("CREATE TABLE ledger (job_id uuid NOT NULL)", [])).await.unwrap();
        kinds().publish(&tx).await.unwrap();
        let org = orgs::create(&tx, "test").await.unwrap().unwrap().id;
        tx.commit().await.unwrap();
        Self { engine, url, prefix, org, stage: Services::default(), background: CancellationToken::new() }
    }

    /// A world with a leading dispatcher and one worker.
    pub async fn lively(travel: Travel) -> Self {
        let world = Self::still(travel).await;
        world.dispatch();
        world.work().await;
        world
    }

    /// Starts a leading dispatcher.
    pub fn dispatch(&self) {
        let (engine, stop) = (self.engine.clone(), self.background.clone());
        tokio::spawn(async move { engine.run_dispatcher(Pace::Lead, stop).await });
    }

    /// Starts a worker with four slots per queue.
    pub async fn work(&self) -> RunningWorker {
        self.work_with(Limits { slots: [4; 4], lease: Duration::from_secs(30), grace: Duration::ZERO }).await
    }

    /// Starts a worker with these limits.
    pub async fn work_with(&self, limits: Limits) -> RunningWorker {
        let worker = Worker::new(self.engine.clone(), self.stage.clone(), kinds(), limits);
        let stop = self.background.child_token();
        let ends = stop.clone();
        RunningWorker { stop, task: tokio::spawn(async move { worker.run(ends).await.unwrap() }) }
    }

    /// Another process' view of the same world: another engine over the same database and, where it can be shared,
    /// the same delivery, with a window of its own.
    pub async fn other_process(&self, travel: Travel, window: usize) -> Engine {
        let db = Db::connect(&self.url, 5).await.unwrap();
        Engine::new(db, delivery(travel, &self.prefix).await, window)
    }

    /// Until when the job is its worker's, in microseconds since 1970 by the database's clock.
    pub async fn lease(&self, id: JobId) -> i64 {
        #[derive(sea_orm::FromQueryResult)]
        struct Row {
            lease: i64,
        }
        let tx = self.engine.db().system().await.unwrap();
        let until = "SELECT (extract(epoch FROM lease_until) * 1000000)::bigint AS lease FROM jobs WHERE id = $1";
        let row: Option<Row> = tx.one(sql(until, [id.into()])).await.unwrap();
        row.unwrap().lease
    }

    /// Waits until the job's lease is as wanted.
    pub async fn until_lease(&self, id: JobId, wanted: impl Fn(i64) -> bool) {
        let looking = async {
            while !wanted(self.lease(id).await) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("the lease becomes as wanted");
    }

    /// Submits a [`Play`] called `name`.
    pub async fn play(&self, name: &str, acts: &[Act]) -> JobId {
        self.submit(Self::new_play(name, acts)).await
    }

    /// A job that plays `acts`, to be submitted.
    pub fn new_play(name: &str, acts: &[Act]) -> NewJob {
        NewJob::of(&Play { name: name.into(), acts: acts.to_vec() }).unwrap()
    }

    /// Submits a job.
    pub async fn submit(&self, job: NewJob) -> JobId {
        self.try_submit(self.org, job).await.unwrap().id()
    }

    /// Submits a job of `org`, which may be refused.
    pub async fn try_submit(&self, org: OrgId, job: NewJob) -> Result<Submitted, SubmitError> {
        let tx = self.engine.db().org(org).await.unwrap();
        let submitted = self.engine.submit_many(&tx, vec![job]).await.unwrap().remove(0);
        tx.commit().await.unwrap();
        self.engine.nudge();
        submitted
    }

    /// Another organization.
    pub async fn other_org(&self, name: &str) -> OrgId {
        let tx = self.engine.db().system().await.unwrap();
        let org = orgs::create(&tx, name).await.unwrap().unwrap().id;
        tx.commit().await.unwrap();
        org
    }

    /// Sets a limit.
    pub async fn limit(&self, org: Uuid, scope: Scope, name: &str, setting: Setting) {
        let tx = self.engine.db().system().await.unwrap();
        limits::set(&tx, &Subject { org, scope, name: name.into() }, setting).await.unwrap();
        tx.commit().await.unwrap();
        self.engine.nudge();
    }

    /// Does something to a job, as a person would.
    pub async fn act(&self, action: Action, id: JobId) -> Controlled {
        let tx = self.engine.db().org(self.org).await.unwrap();
        let done = self.engine.act(&tx, action, id).await.unwrap();
        tx.commit().await.unwrap();
        self.engine.nudge();
        done
    }

    /// The job as it is.
    pub async fn job(&self, id: JobId) -> Job {
        let tx = self.engine.db().org(self.org).await.unwrap();
        let job = jobs::find(&tx, id).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        job
    }

    /// The job's history so far, by name.
    pub async fn history(&self, id: JobId) -> Vec<String> {
        self.events(id).await.into_iter().map(|event| event.r#type).collect()
    }

    /// The job's history so far.
    pub async fn events(&self, id: JobId) -> Vec<JobEvent> {
        let tx = self.engine.db().org(self.org).await.unwrap();
        let events = job_events::of(&tx, id, 0, 1_000).await.unwrap();
        tx.commit().await.unwrap();
        events
    }

    /// Waits until the job is as wanted.
    pub async fn until(&self, id: JobId, wanted: impl Fn(&Job) -> bool) -> Job {
        let looking = async {
            loop {
                let job = self.job(id).await;
                if wanted(&job) {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(job) => job,
            Err(_) => panic!("the job never became as wanted; it is {:?}", self.job(id).await),
        }
    }

    /// Waits until the job is in `state`.
    pub async fn until_state(&self, id: JobId, state: &str) -> Job {
        self.until(id, |job| job.state == state).await
    }

    /// Runs SQL as the system, for setting a scene that no public way leads to.
    pub async fn sql(&self, text: &str) {
        let tx = self.engine.db().system().await.unwrap();
        tx.execute(sql(text, [])).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// How many lines the ledger has for the job.
    pub async fn written(&self, id: JobId) -> i64 {
        #[derive(sea_orm::FromQueryResult)]
        struct Row {
            lines: i64,
        }
        let tx = self.engine.db().system().await.unwrap();
        let count = "SELECT count(*) AS lines FROM ledger WHERE job_id = $1";
        let row: Option<Row> = tx.one(sql(count, [id.into()])).await.unwrap();
        row.unwrap().lines
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.background.cancel();
    }
}

impl RunningWorker {
    /// Stops it as a signal would, and waits for its end.
    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("a worker that is told to stop stops").unwrap();
    }
}

async fn delivery(travel: Travel, prefix: &str) -> Arc<dyn Delivery> {
    let url = || Secret::new(database::setting("GRISTMILL_TEST_REDIS_URL"));
    match travel {
        Travel::Memory => Arc::new(MemoryDelivery::default()),
        Travel::Redis => Arc::new(RedisDelivery::connect(&url(), prefix).await.unwrap()),
        Travel::ApalisRedis => {
            let servers = Servers::parse(&url(), None).unwrap();
            Arc::new(ApalisDelivery::connect_to(servers, prefix).await.unwrap())
        }
    }
}
