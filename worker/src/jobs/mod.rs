//! The kinds of job: one file each.

mod analysis_run;
mod document_erase;
mod document_ingest;
mod embeddings_build;
pub(crate) mod errors;
mod feed_poll;
mod file_erase;
mod jobs_bulk;

pub use analysis_run::RunAnalysis;
pub use document_erase::EraseDocument;
pub use document_ingest::IngestDocument;
pub use embeddings_build::BuildEmbeddings;
pub use feed_poll::PollFeed;
pub use file_erase::EraseFile;
pub use jobs_bulk::BulkAction;

use crate::Services;

gristmill_engine::job_kinds! {
    /// Every kind of job this worker runs.
    pub fn kinds() for Services {
        RunAnalysis, IngestDocument, BuildEmbeddings, PollFeed, EraseFile, EraseDocument, BulkAction
    }
}
