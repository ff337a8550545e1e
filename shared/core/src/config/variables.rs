//! Every environment variable Gristmill reads: the list that `.env.example` and error messages are made from.

/// One environment variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What a value must look like.
    pub form: &'static str,
    /// A valid value.
    pub example: &'static str,
    /// What holds when it is not set.
    pub default: Option<&'static str>,
}

const fn variable(
    name: &'static str,
    about: &'static str,
    form: &'static str,
    example: &'static str,
    default: Option<&'static str>,
) -> Variable {
    Variable { name, about, form, example, default }
}

/// Every variable, in the order `.env.example` shows them.
pub const VARIABLES: &[Variable] = &[
    variable(
        "DATABASE_URL",
        "Postgres 15 or later with pgvector 0.8 or later. Without it `gristmill up` runs a private Postgres under the data folder.",
        "a URL that starts with postgres:// or postgresql://",
        "postgres://gristmill:secret@localhost:5432/gristmill",
        None,
    ),
    variable(
        "GRISTMILL_DATABASE_CONNECTIONS",
        "The most Postgres connections one process holds.",
        "a number from 2 to 1000",
        "20",
        Some("20"),
    ),
    variable(
        "GRISTMILL_POSTGRES_BIN",
        "The bin folder of the Postgres installation that the private Postgres uses; found or fetched by itself otherwise.",
        "a folder that holds initdb and postgres",
        "/usr/lib/postgresql/17/bin",
        None,
    ),
    variable(
        "REDIS_URL",
        "Redis 7 or later, which carries job ids between processes: one server, the master that sentinels name (redis+sentinel://host:26379,host:26379/mymaster) or a cluster (redis+cluster://host:6379,host:6379), with rediss in place of redis for TLS. Without it they travel inside one process (`gristmill up` only).",
        "a URL that starts with redis://, redis+sentinel:// or redis+cluster://, or with rediss in place of redis",
        "redis://localhost:6379",
        None,
    ),
    variable(
        "GRISTMILL_REDIS_CA",
        "The certificate, in PEM, of the authority that vouches for a Redis that is reached through TLS, if the machine does not trust it.",
        "a file",
        "/etc/gristmill/redis-ca.pem",
        None,
    ),
    variable(
        "GRISTMILL_DELIVERY",
        "What carries job ids: memory, redis (what REDIS_URL implies) or apalis-redis (slower, without priorities among what is dispatched, and not on a cluster).",
        "one of memory, redis and apalis-redis; the last two need REDIS_URL",
        "redis",
        None,
    ),
    variable(
        "GRISTMILL_REDIS_PREFIX",
        "What every Redis key starts with; give each installation on a shared Redis its own.",
        "a short word",
        "gristmill",
        Some("gristmill"),
    ),
    variable(
        "GRISTMILL_WINDOW",
        "How many dispatched jobs wait in the delivery per queue; the rest of a backlog stays in Postgres.",
        "a number from 1 to 10000, or to 2000 where GRISTMILL_DELIVERY is apalis-redis",
        "1000",
        Some("1000"),
    ),
    variable(
        "GRISTMILL_DATA_DIR",
        "The folder for the private Postgres, files and the first API key. Separate processes without S3_BUCKET need it named: a folder they all share.",
        "a folder",
        "/var/lib/gristmill",
        Some("./data"),
    ),
    variable(
        "S3_BUCKET",
        "Keeps files in this S3 bucket instead of the data folder. Credentials come by the ordinary AWS chain.",
        "a bucket's name",
        "gristmill-files",
        None,
    ),
    variable("S3_PREFIX", "What every object's key in the bucket starts with.", "a path", "production", None),
    variable(
        "S3_ENDPOINT",
        "The address of an S3-compatible server (MinIO, R2, Ceph), if it is not AWS.",
        "a URL",
        "http://localhost:9000",
        None,
    ),
    variable("AWS_REGION", "The bucket's region.", "a region's name", "eu-central-1", Some("us-east-1")),
    variable("GRISTMILL_BIND", "The address the API listens on.", "an address and a port", "127.0.0.1:7171", None),
    variable(
        "PORT",
        "Listens on this port of every interface when GRISTMILL_BIND is not set, as hosting platforms expect.",
        "a port number",
        "8080",
        None,
    ),
    variable(
        "GRISTMILL_HEALTH_BIND",
        "Where separate worker and scheduler processes answer /healthz, /readyz and /metrics.",
        "an address and a port",
        "0.0.0.0:9171",
        None,
    ),
    variable(
        "GRISTMILL_MAX_UPLOAD_MB",
        "The largest file that may be uploaded, in MiB.",
        "a number from 1 to 1024",
        "100",
        Some("100"),
    ),
    variable(
        "GRISTMILL_SLOTS_INGEST",
        "Jobs of the queue `ingest` (reading documents; CPU) that one worker runs at once.",
        "a number from 0 to 10000",
        "2",
        Some("2"),
    ),
    variable(
        "GRISTMILL_SLOTS_AI",
        "Jobs of the queue `ai` (model calls) that one worker runs at once.",
        "a number from 0 to 10000",
        "8",
        Some("8"),
    ),
    variable(
        "GRISTMILL_SLOTS_IO",
        "Jobs of the queue `io` (feeds, webhooks) that one worker runs at once.",
        "a number from 0 to 10000",
        "16",
        Some("16"),
    ),
    variable(
        "GRISTMILL_SLOTS_DEFAULT",
        "Jobs of the queue `default` that one worker runs at once.",
        "a number from 0 to 10000",
        "8",
        Some("8"),
    ),
    variable(
        "GRISTMILL_LEASE_S",
        "Seconds after which a job whose worker gave no sign of life runs again elsewhere.",
        "a number from 3 to 3600",
        "30",
        Some("30"),
    ),
    variable(
        "GRISTMILL_GRACE_S",
        "Seconds that running jobs may go on after the process was asked to stop; then they are given back.",
        "a number from 0 to 3600",
        "5",
        Some("5"),
    ),
    variable(
        "GRISTMILL_EXTRACT_TIMEOUT_S",
        "Seconds that reading one document may take; the process that reads it is stopped then.",
        "a number from 1 to 3600",
        "120",
        Some("120"),
    ),
    variable(
        "GRISTMILL_EXTRACT_MEMORY_MB",
        "Memory that reading one document may take besides the document itself, in MiB; a worker reads as many at once as it has slots for the queue `ingest`.",
        "a number from 64 to 1048576",
        "1024",
        Some("1024"),
    ),
    variable(
        "GRISTMILL_EXTRACT_MAX_PAGES",
        "The most pages, slides, sheets or chapters a document may have.",
        "a number from 1 to 1000000",
        "5000",
        Some("5000"),
    ),
    variable(
        "GRISTMILL_KEEP_SUCCEEDED_DAYS",
        "Days that jobs are kept after they succeeded.",
        "a number from 1 to 3650",
        "7",
        Some("7"),
    ),
    variable(
        "GRISTMILL_KEEP_FAILED_DAYS",
        "Days that jobs are kept after they failed.",
        "a number from 1 to 3650",
        "30",
        Some("30"),
    ),
    variable(
        "GRISTMILL_KEEP_CANCELLED_DAYS",
        "Days that jobs are kept after they were cancelled.",
        "a number from 1 to 3650",
        "7",
        Some("7"),
    ),
    variable(
        "GRISTMILL_FETCH_ALLOW",
        "Private networks that feeds and URL documents may be fetched from, in CIDR notation, separated by commas.",
        "networks such as 10.1.0.0/16",
        "10.1.0.0/16,fd00::/8",
        None,
    ),
    variable(
        "GRISTMILL_FETCH_CONTACT",
        "A URL or address in our User-Agent, by which a site's owner can reach you.",
        "a URL or an e-mail address",
        "https://example.org/bot",
        Some("https://github.com/gristmill/gristmill"),
    ),
    variable(
        "GRISTMILL_LOCAL_EMBEDDING_MODEL",
        "A folder with a sentence model that embeds documents and queries: a BERT as sentence-transformers writes it, or a static table as model2vec does. Without it they are embedded as hashed n-grams, which find shared words and spellings but not meaning. api and worker need the same.",
        "a folder that holds model.safetensors and tokenizer.json",
        "/var/lib/gristmill/models/all-MiniLM-L6-v2",
        None,
    ),
    variable(
        "GRISTMILL_LOG",
        "Which log lines are written, as a filter of levels by module.",
        "a filter such as info,gristmill_engine=debug",
        "info,gristmill_engine=debug",
        Some(crate::telemetry::DEFAULT_FILTER),
    ),
    variable(
        "GRISTMILL_LOG_FORMAT",
        "How log lines are written; auto is text on a terminal and json elsewhere.",
        "auto, json or text",
        "json",
        Some("auto"),
    ),
    variable(
        "GRISTMILL_URL",
        "Where the commands enqueue, jobs, queues and limits find the API; not the address it listens on.",
        "a URL",
        "http://127.0.0.1:7171",
        None,
    ),
    variable(
        "GRISTMILL_KEY",
        "The API key that these commands use; without it the first key in the data folder.",
        "an API key",
        "gm_example",
        None,
    ),
];

/// The variable called `name`. Asking for one that is not in the list is a mistake in this crate, which its tests find.
pub(super) fn find(name: &str) -> &'static Variable {
    VARIABLES.iter().find(|variable| variable.name == name).expect("every variable that is read is in VARIABLES")
}

/// The text of `.env.example`.
pub fn env_example() -> String {
    let mut text = String::from("# Every variable Gristmill reads. None is needed for `gristmill up`.\n");
    for variable in VARIABLES {
        let value = variable.default.unwrap_or(variable.example);
        text.push_str(&format!(
            "\n# {}\n# {}.\n#{}={value}\n",
            variable.about,
            capitalised(variable.form),
            variable.name
        ));
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
