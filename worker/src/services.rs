//! What jobs use besides the database.

use std::fmt;

use gristmill_ai::Embedders;
use gristmill_core::config::Config;
use gristmill_extractor::Extractor;
use gristmill_fetch::Fetcher;
use gristmill_files::Files;
use gristmill_process::connect::{self, StartError};

/// What jobs use besides the database. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The bytes of documents.
    pub files: Files,
    /// The processes that read documents.
    pub extractor: Extractor,
    /// Other people's servers.
    pub fetcher: Fetcher,
    /// The models that embed.
    pub embedders: Embedders,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("embedders", &self.embedders).finish_non_exhaustive()
    }
}

impl Services {
    /// The services as configured, over `files` and `extractor`.
    ///
    /// # Errors
    /// When a configured network is none, the HTTP client cannot be set up, or the embedding model cannot be used.
    pub fn new(config: &Config, files: Files, extractor: Extractor) -> Result<Self, StartError> {
        let (fetcher, embedders) = (connect::fetcher(&config.fetch)?, connect::embedders(&config.ai)?);
        Ok(Self { files, extractor, fetcher, embedders })
    }
}
