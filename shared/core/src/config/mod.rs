//! Configuration: environment variables only, one struct per concern, read once.
//!
//! [`Config::read`] looks variables up through a closure, so that tests pass a map and nothing but the entry points
//! touches the process environment. It collects every problem before any is reported.

mod variables;

use std::{cell::RefCell, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

pub use variables::{VARIABLES, Variable, env_example};

use crate::secret::Secret;

/// Everything that can be configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Postgres is.
    pub database: DatabaseConfig,
    /// How job ids travel from dispatcher to worker.
    pub delivery: DeliveryConfig,
    /// Where files are kept.
    pub storage: StorageConfig,
    /// The HTTP API.
    pub http: HttpConfig,
    /// The worker's slots and patience.
    pub worker: WorkerConfig,
    /// What reading one document may cost.
    pub extract: ExtractConfig,
    /// How long what is over is kept.
    pub retention: RetentionConfig,
    /// Outgoing requests to addresses that users supply.
    pub fetch: FetchConfig,
    /// Models.
    pub ai: AiConfig,
    /// Log lines.
    pub log: LogConfig,
}

/// Where Postgres is.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`; without it the `gristmill` command runs a private Postgres.
    pub url: Option<Secret>,
    /// The most connections this process holds.
    pub max_connections: u32,
    /// The `bin` folder of the installation that the private Postgres must use, if one is named.
    pub private_bin: Option<PathBuf>,
}

/// How job ids travel.
#[derive(Debug, Clone)]
pub struct DeliveryConfig {
    /// `GRISTMILL_DELIVERY`; where it is not set, Redis if there is a `REDIS_URL`.
    pub kind: DeliveryKind,
    /// `REDIS_URL`; there is one unless ids travel through memory.
    pub redis_url: Option<Secret>,
    /// A file with the certificate, in PEM, of the authority that vouches for Redis, if the machine does not trust it.
    pub redis_ca: Option<PathBuf>,
    /// What every Redis key of this installation starts with.
    pub prefix: String,
    /// How many dispatched jobs may wait in the delivery per queue; the backlog stays in Postgres.
    pub window: u32,
}

/// What ids travel through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryKind {
    /// The memory of this process.
    Memory,
    /// Sorted sets in Redis.
    Redis,
    /// The queues of apalis-redis.
    ApalisRedis,
}

/// Where files are kept.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// The folder for everything local: private Postgres, files, the first key.
    pub data_dir: PathBuf,
    /// True where `GRISTMILL_DATA_DIR` names that folder: somebody decided that it is where files should be.
    pub data_dir_named: bool,
    /// The S3 bucket for files, if they are not to be kept under `data_dir`.
    pub bucket: Option<BucketConfig>,
}

/// An S3 bucket. Credentials come by the ordinary AWS chain (environment, profile, instance role).
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// The bucket's name.
    pub name: String,
    /// What every object's key starts with.
    pub prefix: String,
    /// The address of an S3-compatible server, if it is not AWS.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
}

/// The HTTP API.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// The address to listen on.
    pub bind: SocketAddr,
    /// The largest file that may be uploaded, in bytes.
    pub max_upload_bytes: u64,
    /// Where a separate worker or scheduler process answers `/healthz`, `/readyz` and `/metrics`.
    pub health_bind: Option<SocketAddr>,
}

/// The worker's slots and patience.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Jobs that run at once per queue: `ingest`, `ai`, `io`, `default`.
    pub slots: [usize; 4],
    /// How long a claim holds without a heartbeat.
    pub lease: Duration,
    /// How long running jobs may go on after the process was asked to stop.
    pub grace: Duration,
}

/// What reading one document may cost.
#[derive(Debug, Clone)]
pub struct ExtractConfig {
    /// How long it may take.
    pub timeout: Duration,
    /// How much memory it may take besides the document itself, in MiB.
    pub memory_mb: u64,
    /// How many pages, slides, sheets or chapters it may have.
    pub max_pages: u32,
}

/// How long jobs that are over are kept.
#[derive(Debug, Clone)]
pub struct RetentionConfig {
    /// Those that succeeded.
    pub succeeded: Duration,
    /// Those that failed.
    pub failed: Duration,
    /// Those that were cancelled.
    pub cancelled: Duration,
}

/// Outgoing requests to addresses that users supply.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// Networks that may be reached although they are private, in CIDR notation.
    pub allow: Vec<String>,
    /// The contact address in our `User-Agent`.
    pub contact: String,
}

/// Models.
#[derive(Debug, Clone)]
pub struct AiConfig {
    /// A directory with a sentence model; without it texts are embedded as hashed n-grams.
    pub local_embedding_model: Option<PathBuf>,
}

/// Log lines.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// A filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// How lines are written.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON unless standard error is a terminal.
    Auto,
    /// One JSON object a line.
    Json,
    /// Readable text.
    Text,
}

impl Config {
    /// Reads the process environment.
    ///
    /// # Errors
    /// Every variable that is wrong, all at once.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the process environment")]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads variables through `lookup`.
    ///
    /// # Errors
    /// Every variable that is wrong, all at once.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let reader = Reader { lookup: &lookup, problems: RefCell::default() };
        let config = Self {
            database: DatabaseConfig::read(&reader),
            delivery: DeliveryConfig::read(&reader),
            storage: StorageConfig::read(&reader),
            http: HttpConfig::read(&reader),
            worker: WorkerConfig::read(&reader),
            extract: ExtractConfig::read(&reader),
            retention: RetentionConfig::read(&reader),
            fetch: FetchConfig::read(&reader),
            ai: AiConfig::read(&reader),
            log: LogConfig::read(&reader),
        };
        let problems = reader.problems.into_inner();
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }
}

impl DatabaseConfig {
    fn read(env: &Reader<'_>) -> Self {
        Self {
            url: env.url("DATABASE_URL", &["postgres", "postgresql"]),
            max_connections: env.number("GRISTMILL_DATABASE_CONNECTIONS", 2, 1_000),
            private_bin: env.text("GRISTMILL_POSTGRES_BIN").map(PathBuf::from),
        }
    }
}

/// The schemes of `REDIS_URL`: a server, sentinels and a cluster, each without and with TLS.
const REDIS_SCHEMES: [&str; 6] =
    ["redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];

impl DeliveryConfig {
    fn read(env: &Reader<'_>) -> Self {
        let redis_url = env.url("REDIS_URL", &REDIS_SCHEMES);
        let kind = match env.text("GRISTMILL_DELIVERY").as_deref() {
            None if redis_url.is_some() => DeliveryKind::Redis,
            None | Some("memory") => DeliveryKind::Memory,
            Some("redis") => DeliveryKind::Redis,
            Some("apalis-redis") => DeliveryKind::ApalisRedis,
            Some(_) => {
                env.problem("GRISTMILL_DELIVERY");
                DeliveryKind::Memory
            }
        };
        if kind != DeliveryKind::Memory && env.text("REDIS_URL").is_none() {
            env.problem("REDIS_URL");
        }
        // One script of apalis-redis hands all that waits to a function of Lua that takes no more than about 8,000, and
        // several dispatchers may each fill a window.
        let most = if kind == DeliveryKind::ApalisRedis { 2_000 } else { 10_000 };
        Self {
            kind,
            redis_url,
            redis_ca: env.text("GRISTMILL_REDIS_CA").map(PathBuf::from),
            prefix: env.required("GRISTMILL_REDIS_PREFIX"),
            window: env.number("GRISTMILL_WINDOW", 1, most),
        }
    }
}

impl StorageConfig {
    fn read(env: &Reader<'_>) -> Self {
        let bucket = env.text("S3_BUCKET").map(|name| BucketConfig {
            name,
            prefix: env.text("S3_PREFIX").unwrap_or_default(),
            endpoint: env.text("S3_ENDPOINT"),
            region: env.required("AWS_REGION"),
        });
        let data_dir = PathBuf::from(env.required("GRISTMILL_DATA_DIR"));
        Self {
            data_dir,
            data_dir_named: (env.lookup)("GRISTMILL_DATA_DIR").is_some_and(|name| !name.trim().is_empty()),
            bucket,
        }
    }
}

impl HttpConfig {
    fn read(env: &Reader<'_>) -> Self {
        // Hosting platforms say only a port, and expect every interface to be listened on.
        let port: Option<u16> = env.parsed("PORT");
        let named: Option<SocketAddr> = env.parsed("GRISTMILL_BIND");
        let bind = match (named, port) {
            (Some(bind), _) => bind,
            (None, Some(port)) => SocketAddr::from(([0, 0, 0, 0], port)),
            (None, None) => SocketAddr::from(([127, 0, 0, 1], 7171)),
        };
        let megabytes: u64 = env.number("GRISTMILL_MAX_UPLOAD_MB", 1, 1_024);
        Self { bind, max_upload_bytes: megabytes * 1024 * 1024, health_bind: env.parsed("GRISTMILL_HEALTH_BIND") }
    }
}

impl WorkerConfig {
    /// How many documents are read at once.
    pub fn ingest_slots(&self) -> usize {
        self.slots[0]
    }

    fn read(env: &Reader<'_>) -> Self {
        let slots = ["GRISTMILL_SLOTS_INGEST", "GRISTMILL_SLOTS_AI", "GRISTMILL_SLOTS_IO", "GRISTMILL_SLOTS_DEFAULT"];
        Self {
            slots: slots.map(|name| env.number(name, 0, 10_000)),
            lease: Duration::from_secs(env.number("GRISTMILL_LEASE_S", 3, 3_600)),
            grace: Duration::from_secs(env.number("GRISTMILL_GRACE_S", 0, 3_600)),
        }
    }
}

impl ExtractConfig {
    fn read(env: &Reader<'_>) -> Self {
        Self {
            timeout: Duration::from_secs(env.number("GRISTMILL_EXTRACT_TIMEOUT_S", 1, 3_600)),
            memory_mb: env.number("GRISTMILL_EXTRACT_MEMORY_MB", 64, 1 << 20),
            max_pages: env.number("GRISTMILL_EXTRACT_MAX_PAGES", 1, 1_000_000),
        }
    }
}

impl RetentionConfig {
    fn read(env: &Reader<'_>) -> Self {
        let days = |name| Duration::from_hours(24 * env.number::<u64>(name, 1, 3_650));
        Self {
            succeeded: days("GRISTMILL_KEEP_SUCCEEDED_DAYS"),
            failed: days("GRISTMILL_KEEP_FAILED_DAYS"),
            cancelled: days("GRISTMILL_KEEP_CANCELLED_DAYS"),
        }
    }
}

impl FetchConfig {
    fn read(env: &Reader<'_>) -> Self {
        let allow = env.text("GRISTMILL_FETCH_ALLOW").unwrap_or_default();
        Self {
            allow: allow.split(',').map(str::trim).filter(|network| !network.is_empty()).map(str::to_owned).collect(),
            contact: env.required("GRISTMILL_FETCH_CONTACT"),
        }
    }
}

impl AiConfig {
    fn read(env: &Reader<'_>) -> Self {
        Self { local_embedding_model: env.text("GRISTMILL_LOCAL_EMBEDDING_MODEL").map(PathBuf::from) }
    }
}

impl LogConfig {
    fn read(env: &Reader<'_>) -> Self {
        let format = match env.required("GRISTMILL_LOG_FORMAT").as_str() {
            "auto" => LogFormat::Auto,
            "json" => LogFormat::Json,
            "text" => LogFormat::Text,
            _ => {
                env.problem("GRISTMILL_LOG_FORMAT");
                LogFormat::Auto
            }
        };
        Self { filter: env.required("GRISTMILL_LOG"), format }
    }
}

/// Every variable that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The names, in the order they were read.
    pub problems: Vec<&'static str>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problem(s):", self.problems.len())?;
        for name in &self.problems {
            let variable = variables::find(name);
            write!(f, "\n  {name}: expected {}, for example {name}={}", variable.form, variable.example)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Looks variables up and collects what is wrong with them. An empty value counts as not set.
struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: RefCell<Vec<&'static str>>,
}

impl Reader<'_> {
    fn problem(&self, name: &str) {
        self.problems.borrow_mut().push(variables::find(name).name);
    }

    /// The value, or the variable's default if it has one.
    fn text(&self, name: &str) -> Option<String> {
        let set = (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        set.or_else(|| variables::find(name).default.map(str::to_owned))
    }

    /// The value of a variable that has a default.
    fn required(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.problem(name);
        }
        value
    }

    fn number<T: FromStr + PartialOrd + Copy>(&self, name: &str, least: T, most: T) -> T {
        match self.parsed::<T>(name) {
            Some(value) if value >= least && value <= most => value,
            Some(_) => {
                self.problem(name);
                least
            }
            None => least,
        }
    }

    fn url(&self, name: &str, schemes: &[&str]) -> Option<Secret> {
        let text = self.text(name)?;
        if !schemes.iter().any(|scheme| text.starts_with(&format!("{scheme}://"))) {
            self.problem(name);
            return None;
        }
        Some(Secret::new(text))
    }
}

#[cfg(test)]
mod tests;
