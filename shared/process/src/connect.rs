//! From configuration to database, delivery and files.

use std::{error::Error, fmt, sync::Arc};

use gristmill_core::{
    config::{Config, FetchConfig, StorageConfig},
    secret::Secret,
};
use gristmill_engine::{
    Engine,
    delivery::{Delivery, MemoryDelivery, RedisDelivery},
};
use gristmill_fetch::Fetcher;
use gristmill_files::{Files, FilesConfig, FilesError, S3Config};
use gristmill_store::Db;

/// A process that cannot start: a sentence for whoever started it, and the cause.
#[derive(Debug)]
pub struct StartError {
    sentence: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl StartError {
    /// An error with nothing behind it.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), cause: None }
    }

    /// An error with its cause.
    pub fn caused(sentence: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { sentence: sentence.into(), cause: Some(cause.into()) }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, "\n  cause: {cause}"))
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause.as_ref() as &(dyn Error + 'static))
    }
}

/// Connects a process that is one of several: Postgres, Redis and a file storage that all share must be named.
///
/// # Errors
/// When one is not named or cannot be reached, or the files cannot be opened.
pub async fn connect(config: &Config) -> Result<(Engine, Files), StartError> {
    let missing = |name: &str| {
        StartError::new(format!(
            "{name} is not set. Separate api, worker and scheduler processes meet in Postgres and Redis; \
             to run everything in one process without either, use `gristmill up`."
        ))
    };
    let database = config.database.url.as_ref().ok_or_else(|| missing("DATABASE_URL"))?;
    config.delivery.redis_url.as_ref().ok_or_else(|| missing("REDIS_URL"))?;
    if config.storage.bucket.is_none() && !config.storage.data_dir_named {
        return Err(StartError::new(
            "S3_BUCKET is not set. Separate api, worker and scheduler processes meet in one file storage too: set \
             S3_BUCKET, or set GRISTMILL_DATA_DIR to a folder that all of them share.",
        ));
    }
    Ok((engine(config, database).await?, files(&config.storage).await?))
}

/// The engine over the database at `database`, with the delivery that is configured: Redis where one is named, else
/// the memory of this process.
///
/// # Errors
/// When one of them cannot be reached.
pub async fn engine(config: &Config, database: &Secret) -> Result<Engine, StartError> {
    let db = Db::connect(database, config.database.max_connections).await.map_err(|error| {
        StartError::caused("The database cannot be reached. Check DATABASE_URL, and that Postgres runs there.", error)
    })?;
    let delivery: Arc<dyn Delivery> = match &config.delivery.redis_url {
        None => Arc::new(MemoryDelivery::default()),
        Some(url) => Arc::new(RedisDelivery::connect(url, &config.delivery.prefix).await.map_err(|error| {
            StartError::caused("Redis cannot be reached. Check REDIS_URL, and that Redis runs there.", error)
        })?),
    };
    let window = usize::try_from(config.delivery.window).unwrap_or(usize::MAX);
    Ok(Engine::new(db, delivery, window))
}

/// The files, where they are configured to be.
///
/// # Errors
/// When the folder cannot be made or the endpoint is no URL.
pub async fn files(config: &StorageConfig) -> Result<Files, StartError> {
    let place = match &config.bucket {
        None => FilesConfig::Folder { path: config.data_dir.join("files") },
        Some(bucket) => {
            let endpoint = bucket
                .endpoint
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(|error: url::ParseError| StartError::caused("S3_ENDPOINT is not a URL.", error))?;
            FilesConfig::S3(Box::new(S3Config {
                bucket: bucket.name.clone(),
                prefix: bucket.prefix.clone(),
                region: bucket.region.clone(),
                // Servers other than Amazon's mostly have one host name for all buckets.
                force_path_style: endpoint.is_some(),
                endpoint,
                credentials: None,
            }))
        }
    };
    Files::open(&place)
        .await
        .map_err(|error: FilesError| StartError::caused("The file storage cannot be opened.", error))
}

/// What fetches from addresses that users supply, as configured.
///
/// # Errors
/// When a configured network is none, or the HTTP client cannot be set up.
pub fn fetcher(config: &FetchConfig) -> Result<Fetcher, StartError> {
    let networks = config.allow.iter().map(|network| {
        network.parse().map_err(|_| {
            let sentence = "GRISTMILL_FETCH_ALLOW: expected networks such as 10.1.0.0/16, separated by commas; found";
            StartError::new(format!("{sentence} \"{network}\"."))
        })
    });
    let user_agent = format!("Gristmill/{} (+{})", env!("CARGO_PKG_VERSION"), config.contact);
    let allow = networks.collect::<Result<_, _>>()?;
    let config = gristmill_fetch::FetchConfig { allow, user_agent, ..gristmill_fetch::FetchConfig::default() };
    Fetcher::new(config).map_err(|error| StartError::caused("The HTTP client cannot be set up.", error))
}
