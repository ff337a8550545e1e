//! From configuration to database, delivery, files and models.

use std::{error::Error, fmt, sync::Arc};

use gristmill_ai::{Embedder, Embedders, HashedNgrams, LocalModel};
use gristmill_core::{
    config::{AiConfig, Config, DeliveryConfig, DeliveryKind, FetchConfig, StorageConfig},
    secret::Secret,
};
use gristmill_engine::{
    Engine,
    delivery::{ApalisDelivery, Delivery, DeliveryError, MemoryDelivery, RedisDelivery, Servers},
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
    if config.delivery.kind == DeliveryKind::Memory {
        return Err(StartError::new(
            "GRISTMILL_DELIVERY is memory, which is the memory of one process: separate api, worker and scheduler \
             processes need redis or apalis-redis.",
        ));
    }
    if config.storage.bucket.is_none() && !config.storage.data_dir_named {
        return Err(StartError::new(
            "S3_BUCKET is not set. Separate api, worker and scheduler processes meet in one file storage too: set \
             S3_BUCKET, or set GRISTMILL_DATA_DIR to a folder that all of them share.",
        ));
    }
    Ok((engine(config, database).await?, files(&config.storage).await?))
}

/// The engine over the database at `database`, with the delivery that is configured.
///
/// # Errors
/// When one of them cannot be reached.
pub async fn engine(config: &Config, database: &Secret) -> Result<Engine, StartError> {
    let db = Db::connect(database, config.database.max_connections).await.map_err(|error| {
        StartError::caused("The database cannot be reached. Check DATABASE_URL, and that Postgres runs there.", error)
    })?;
    let delivery = delivery(&config.delivery).await?;
    let window = usize::try_from(config.delivery.window).unwrap_or(usize::MAX);
    Ok(Engine::new(db, delivery, window))
}

async fn delivery(config: &DeliveryConfig) -> Result<Arc<dyn Delivery>, StartError> {
    let (DeliveryKind::Redis | DeliveryKind::ApalisRedis, Some(url)) = (config.kind, &config.redis_url) else {
        return Ok(Arc::new(MemoryDelivery::default()));
    };
    let authority = config
        .redis_ca
        .as_ref()
        .map(std::fs::read)
        .transpose()
        .map_err(|error| StartError::caused("The file that GRISTMILL_REDIS_CA names cannot be read.", error))?;
    let connecting = async {
        let servers = Servers::parse(url, authority)?;
        Ok(match config.kind {
            DeliveryKind::ApalisRedis => {
                Arc::new(ApalisDelivery::connect_to(servers, &config.prefix).await?) as Arc<dyn Delivery>
            }
            _ => Arc::new(RedisDelivery::connect_to(servers, &config.prefix).await?),
        })
    };
    connecting.await.map_err(|error: DeliveryError| {
        let sentence = match error {
            DeliveryError::Refused(_) => "Redis refuses the user or the password. Check those in REDIS_URL.",
            DeliveryError::NoMaster(_) => "The sentinels name no master. Check the name after the hosts in REDIS_URL.",
            DeliveryError::Address(_) => "REDIS_URL or GRISTMILL_REDIS_CA cannot be used.",
            DeliveryError::Unsupported(_) => "REDIS_URL and GRISTMILL_DELIVERY do not go together.",
            DeliveryError::Garbled(_) => "Redis holds keys of another program under GRISTMILL_REDIS_PREFIX.",
            DeliveryError::Unreachable(_) => "Redis cannot be reached. Check REDIS_URL, and that Redis runs there.",
        };
        StartError::caused(sentence, error)
    })
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

/// The models that embed: the one that is configured serves; vectors that hashed n-grams made before can still be searched.
///
/// # Errors
/// When a directory is configured that holds no model that can be computed here.
pub fn embedders(config: &AiConfig) -> Result<Embedders, StartError> {
    let embedders = match &config.local_embedding_model {
        Some(directory) => {
            let sentence = "GRISTMILL_LOCAL_EMBEDDING_MODEL names a directory without a usable model.";
            let model = LocalModel::open(directory).map_err(|error| StartError::caused(sentence, error))?;
            let hashed: Arc<dyn Embedder> = Arc::new(HashedNgrams);
            Embedders::new(Arc::new(model), [hashed])
        }
        None => {
            let advice = "search by meaning finds shared words and spellings only; \
                          GRISTMILL_LOCAL_EMBEDDING_MODEL names a directory with a sentence model";
            tracing::info!(advice, "no embedding model is configured");
            Embedders::new(Arc::new(HashedNgrams), [])
        }
    };
    let embedder = embedders.serving();
    tracing::info!(model = embedder.model(), dimensions = embedder.dimensions(), "texts are embedded");
    Ok(embedders)
}
