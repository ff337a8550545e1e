//! What every request can reach.

use std::{fmt, sync::Arc};

use gristmill_ai::{Embedders, Reranker};
use gristmill_core::config::HttpConfig;
use gristmill_engine::{Engine, worker::Health};
use gristmill_fetch::Fetcher;
use gristmill_files::Files;
use metrics_exporter_prometheus::PrometheusHandle;

/// What every request can reach.
#[derive(Clone)]
pub struct App {
    /// The database, the delivery and the kinds of job.
    pub engine: Engine,
    /// Where files are kept.
    pub files: Files,
    /// The models that queries can be embedded with; each with the one that its organization's chunks were embedded with.
    pub embedders: Embedders,
    /// The model that puts the best results in order, where one is configured.
    pub reranker: Option<Arc<dyn Reranker>>,
    /// Limits.
    pub http: HttpConfig,
    /// Which addresses users may name.
    pub fetcher: Fetcher,
    /// The worker of this process, where it runs one: `/readyz` then tells whether it still asks for work.
    pub worker: Option<Health>,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
}

/// How handlers hold it.
pub(crate) type Shared = Arc<App>;

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("http", &self.http).field("embedders", &self.embedders).finish_non_exhaustive()
    }
}
