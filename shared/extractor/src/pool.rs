//! Children kept warm, as many as documents are read at once.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use gristmill_content::{ExtractOptions, Extracted};
use gristmill_core::config::ExtractConfig;
use tokio::sync::Semaphore;

use crate::ExtractorError;
use crate::process::{Process, itself};
use crate::wire::Request;

/// Reads documents, each in a child of this process. Cheap to clone; when the last clone goes, so do the children.
#[derive(Clone)]
pub struct Extractor(Arc<Inner>);

struct Inner {
    program: PathBuf,
    limits: ExtractConfig,
    /// One permit for each document that may be read at once.
    room: Semaphore,
    warm: Mutex<Vec<Process>>,
}

impl fmt::Debug for Extractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { program, limits, .. } = &*self.0;
        f.debug_struct("Extractor").field("program", program).field("limits", limits).finish_non_exhaustive()
    }
}

impl Extractor {
    /// One whose children are this very program, which must call [`serve_if_asked`](crate::serve_if_asked) first thing,
    /// and which reads `most` documents at once.
    #[must_use]
    pub fn new(limits: &ExtractConfig, most: usize) -> Self {
        Self::of(itself(), limits, most)
    }

    /// One whose children are another program, which serves when it is called with the arguments `extract --serve`.
    #[must_use]
    pub fn of(program: PathBuf, limits: &ExtractConfig, most: usize) -> Self {
        let room = Semaphore::new(most.max(1));
        Self(Arc::new(Inner { program, limits: limits.clone(), room, warm: Mutex::default() }))
    }

    /// Reads a document within the limits; its pages are bounded by them too. Waits while as many are read as may be. A
    /// caller that no longer waits for the end ends the reading.
    ///
    /// # Errors
    /// What is wrong with the document, or what it did to its reader.
    pub async fn extract(&self, document: &Bytes, options: ExtractOptions) -> Result<Extracted, ExtractorError> {
        let ExtractConfig { timeout, memory_mb, max_pages } = self.0.limits;
        let options = ExtractOptions { max_pages: options.max_pages.min(max_pages), ..options };
        let cpu_s = timeout.as_secs().max(1);
        let request = Request { bytes: document.len() as u64, options, memory_mb, cpu_s };
        let _room = self.0.room.acquire().await.map_err(|error| unavailable(std::io::Error::other(error)))?;
        let mut process = match self.warm() {
            Some(process) => process,
            None => Process::start(&self.0.program).map_err(unavailable)?,
        };
        let (read, goes_on) = match process.read(&request, document, timeout).await {
            Ok((read, goes_on)) => (read.map_err(ExtractorError::Content), goes_on),
            Err(error) => {
                tracing::warn!(error.code = error.code(), error.detail = error.detail(), "an extractor is gone");
                (Err(error), false)
            }
        };
        // The next document should not have to wait for a start.
        let next = if goes_on { Ok(process) } else { Process::start(&self.0.program) };
        match next {
            Ok(process) => self.0.warm.lock().unwrap_or_else(PoisonError::into_inner).push(process),
            Err(error) => tracing::warn!(%error, "an extractor could not be started"),
        }
        read
    }

    /// A child that waits; those that were killed while they did are passed over.
    fn warm(&self) -> Option<Process> {
        loop {
            let mut process = self.0.warm.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if process.is_alive() {
                return Some(process);
            }
        }
    }
}

fn unavailable(error: std::io::Error) -> ExtractorError {
    ExtractorError::Unavailable(error)
}
