//! API, worker and scheduler, put together and running in one process.

use std::{
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use gristmill_api::App;
use gristmill_core::{config::Config, secret::Secret};
use gristmill_engine::{Engine, worker::Worker};
use gristmill_extractor::Extractor;
use gristmill_process::{
    connect::{self, StartError},
    recorder,
};
use gristmill_worker::Services;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    bootstrap,
    postgres::{Options, PrivatePostgres},
};

/// A whole Gristmill, ready to run.
#[derive(Debug)]
pub struct Installation {
    /// Where the API listens.
    pub address: SocketAddr,
    /// The file that holds the first admin key.
    pub key_file: PathBuf,
    /// That key.
    pub key: Secret,
    config: Config,
    postgres: Option<PrivatePostgres>,
    engine: Engine,
    listener: TcpListener,
    app: App,
    worker: Worker<Services>,
}

/// How long connections may take to close at the end.
const CLOSING: std::time::Duration = std::time::Duration::from_secs(5);

/// How a private Postgres is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For good.
    Always,
    /// Until the process ends; nothing is forced to disk.
    Briefly,
}

impl Installation {
    /// Starts or reaches the stores, brings the schema up to date, makes the first key and listens. `report` is told
    /// what takes time.
    ///
    /// # Errors
    /// When something that is needed is not to be had; the sentence says what to do.
    pub async fn prepare(config: Config, keep: Keep, report: impl Fn(&str) + Send + Sync) -> Result<Self, StartError> {
        // Before anything slow: an address in use should show at once.
        let listener = TcpListener::bind(config.http.bind).await.map_err(|error| {
            let advice = "Another process listens there? Choose another with --bind.";
            StartError::caused(format!("{} cannot be listened on. {advice}", config.http.bind), error)
        })?;
        let address = listener.local_addr().map_err(|error| StartError::caused("The address is not known.", error))?;
        make_folder(&config.storage.data_dir, 0o755)?;
        make_folder(&config.storage.data_dir.join("files"), 0o700)?;
        let (postgres, url) = match &config.database.url {
            Some(url) => (None, url.clone()),
            None => {
                let postgres = private_postgres(&config, keep, report).await?;
                let url = Secret::new(postgres.url());
                (Some(postgres), url)
            }
        };
        bootstrap::migrate(&url).await?;
        let engine = connect::engine(&config, &url).await?;
        if postgres.is_some() {
            // Nobody else can hold the data folder: whoever held a lease or a message is dead.
            let swept = engine.sweep_all().await;
            swept.map_err(|error| StartError::caused("Jobs of an earlier run cannot be picked up.", error))?;
        }
        let key_file = config.storage.data_dir.join("api-key");
        let key = bootstrap::key_in(&key_file, engine.db()).await?;
        let files = connect::files(&config.storage).await?;
        let extractor = Extractor::new(&config.extract, config.worker.ingest_slots());
        let services = Services::new(&config, files, extractor)?;
        let worker = gristmill_worker::worker(engine.clone(), services.clone(), &config.worker);
        let app = App {
            engine: engine.clone(),
            files: services.files,
            embedders: services.embedders,
            reranker: None,
            http: config.http.clone(),
            fetcher: services.fetcher,
            worker: Some(worker.health()),
            metrics: recorder::handle(),
        };
        Ok(Self { address, key_file, key, config, postgres, engine, listener, app, worker })
    }

    /// Runs until `stop`, then ends in good order: requests, jobs, clockwork, database.
    ///
    /// # Errors
    /// When a part ends although it was not told to.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StartError> {
        let Self { config, mut postgres, engine, listener, app, worker, .. } = self;
        let router = gristmill_api::router(app);
        let router = router.map_err(|error| StartError::caused("The API cannot be set up.", error))?;
        let lease = config.worker.lease;
        let scheduler_stop = CancellationToken::new();
        let (clockwork, ends) = (engine.clone(), scheduler_stop.clone());
        let scheduler = tokio::spawn(async move {
            tokio::join!(
                gristmill_scheduler::run(&clockwork, lease, ends.clone()),
                gristmill_scheduler::run_pruner(&clockwork, &config.retention, ends),
            )
        });
        let mut worker = tokio::spawn(worker.run(stop.clone()));
        let mut api = tokio::spawn(gristmill_api::serve(listener, router, stop.clone()));
        let mut scheduler = scheduler;

        // Any part that ends by itself ends the whole: half of Gristmill is worse than none that is started anew.
        let part = |name: &str| StartError::new(format!("The {name} ended by itself."));
        let broken = tokio::select! {
            () = stop.cancelled() => None,
            error = ended(&mut postgres) => Some(StartError::caused("The private Postgres ended by itself.", error)),
            ended = &mut worker => Some(match ended {
                Ok(Err(error)) => StartError::caused("The worker ended in an error.", error),
                _ => part("worker"),
            }),
            _ = &mut api => Some(part("API")),
            _ = &mut scheduler => Some(part("scheduler")),
        };
        stop.cancel();
        let alone = broken.is_none();
        if alone {
            let (api, worker) = tokio::join!(api, worker);
            scheduler_stop.cancel();
            let scheduler = scheduler.await;
            let broke = |name: &str, error| StartError::caused(format!("The {name} broke."), error);
            api.map_err(|error| broke("API", error))?;
            scheduler.map_err(|error| broke("scheduler", error))?;
            let worker = worker.map_err(|error| broke("worker", error))?;
            worker.map_err(|error| StartError::caused("The worker ended in an error.", error))?;
        }
        let closing = tokio::time::timeout(CLOSING, engine.db().close()).await;
        if !matches!(closing, Ok(Ok(()))) {
            tracing::warn!("connections to the database could not be closed in time");
        }
        if let Some(postgres) = postgres
            && alone
        {
            postgres.stop().await.map_err(|error| StartError::caused("Postgres could not be stopped.", error))?;
        }
        broken.map_or(Ok(()), Err)
    }
}

async fn ended(postgres: &mut Option<PrivatePostgres>) -> crate::postgres::PostgresError {
    match postgres {
        Some(postgres) => postgres.ended().await,
        None => std::future::pending().await,
    }
}

#[expect(clippy::disallowed_methods, reason = "where programs and caches are is the machine's affair, not ours")]
async fn private_postgres(
    config: &Config,
    keep: Keep,
    report: impl Fn(&str) + Send + Sync,
) -> Result<PrivatePostgres, StartError> {
    let mut options = Options::new(config.storage.data_dir.join("postgres"), |name| std::env::var(name).ok());
    if keep == Keep::Briefly {
        options = options.temporary();
    }
    if let Some(bin) = &config.database.private_bin {
        options.bin_dir = Some(bin.clone());
    }
    let started = PrivatePostgres::start(&options, |progress| report(&progress.to_string())).await;
    started.map_err(|error| StartError::new(error.to_string()))
}

fn make_folder(path: &Path, mode: u32) -> Result<(), StartError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| StartError::caused(format!("The folder {} cannot be made.", path.display()), error))
}
