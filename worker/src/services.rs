//! What jobs use besides the database.

use std::{fmt, sync::Arc};

use gristmill_ai::{Embedder, HashedNgrams};
use gristmill_core::config::FetchConfig;
use gristmill_fetch::Fetcher;
use gristmill_files::Files;
use gristmill_process::connect::StartError;

/// What jobs use besides the database. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The bytes of documents.
    pub files: Files,
    /// Other people's servers.
    pub fetcher: Arc<Fetcher>,
    /// The model that embeds.
    pub embedder: Arc<dyn Embedder>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("embedder", &self.embedder.model()).finish_non_exhaustive()
    }
}

impl Services {
    /// The services as configured, over `files`.
    ///
    /// # Errors
    /// When a configured network is none, or the HTTP client cannot be set up.
    pub fn new(config: &FetchConfig, files: Files) -> Result<Self, StartError> {
        Ok(Self { files, fetcher: Arc::new(fetcher(config)?), embedder: Arc::new(HashedNgrams) })
    }
}

fn fetcher(config: &FetchConfig) -> Result<Fetcher, StartError> {
    let allow = config.allow.iter().map(|network| network.parse()).collect::<Result<_, _>>().map_err(|error| {
        StartError::caused(
            "GRISTMILL_FETCH_ALLOW: expected networks such as 10.1.0.0/16, separated by commas.",
            Box::new(error) as Box<dyn std::error::Error + Send + Sync>,
        )
    })?;
    let user_agent = format!("Gristmill/{} (+{})", env!("CARGO_PKG_VERSION"), config.contact);
    let config = gristmill_fetch::FetchConfig { allow, user_agent, ..gristmill_fetch::FetchConfig::default() };
    Fetcher::new(config).map_err(|error| StartError::caused("The HTTP client cannot be set up.", error))
}
