//! `file.erase`: the bytes of purged documents go, where nothing else refers to them.

use gristmill_engine::{Job, JobError, Queue};
use gristmill_files::Sha256Digest;
use gristmill_store::erasure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::errors;
use crate::{Ctx, Services};

/// Erases a file of the organization that no document refers to any more.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseFile {
    /// SHA-256 of its bytes, in hexadecimal.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// What became of the file.
#[derive(Debug, Serialize)]
pub struct EraseReport {
    /// False where a document refers to it, so that it stays.
    erased: bool,
}

impl Job<Services> for EraseFile {
    const KIND: &'static str = "file.erase";
    const ABOUT: &'static str = "Erases the bytes of purged documents where nothing else refers to them.";
    const QUEUE: Queue = Queue::Io;
    const MAX_ATTEMPTS: u16 = 20;

    type Output = EraseReport;

    async fn run(self, ctx: &Ctx) -> Result<EraseReport, JobError> {
        let sha256: Sha256Digest = self.sha256.parse()?;
        // The look and the deed are under one lock with handing the same bytes in, so that neither misses the other.
        ctx.finish(async |tx| {
            erasure::hold_file(tx, sha256.as_bytes()).await?;
            let erased = !erasure::refers_to(tx, sha256.as_bytes()).await?;
            if erased {
                let org = ctx.org().to_string();
                ctx.files.delete(&org, &sha256).await.map_err(|error| errors::files(&error))?;
            }
            Ok(EraseReport { erased })
        })
        .await
    }
}
