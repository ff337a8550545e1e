//! Where files are kept.

use std::path::PathBuf;

use gristmill_core::secret::Secret;
use url::Url;

/// Where files are kept: one folder, or one S3 bucket.
#[derive(Debug, Clone)]
pub enum FilesConfig {
    /// A folder on a file system that renames atomically; made if it is not there.
    Folder {
        /// The folder. Nothing else may write to it.
        path: PathBuf,
    },
    /// A bucket of Amazon S3 or of a server that speaks its protocol.
    S3(Box<S3Config>),
}

/// How an S3 bucket is reached.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The bucket's name; it must exist.
    pub bucket: String,
    /// Put before every key, such as `gristmill/production`; may be empty. A `/` at its end is added where missing.
    pub prefix: String,
    /// The server's address where it is not Amazon's, such as `http://127.0.0.1:9000`.
    pub endpoint: Option<Url>,
    /// The region, such as `eu-central-1`. Servers other than Amazon's mostly take any, often `us-east-1`.
    pub region: String,
    /// Whether the bucket is named in the path and not in the host name; most servers other than Amazon's need it.
    pub force_path_style: bool,
    /// Explicit credentials; without them the ordinary AWS chain is asked (environment, profile, web identity,
    /// container and instance roles).
    pub credentials: Option<S3Credentials>,
}

/// An access key.
#[derive(Debug, Clone)]
pub struct S3Credentials {
    /// The access key's id, which is no secret.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret_access_key: Secret,
    /// The session token that temporary credentials come with.
    pub session_token: Option<Secret>,
}
