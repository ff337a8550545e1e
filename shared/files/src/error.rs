//! What can go wrong with stored files.

use std::error::Error;
use std::io;

use crate::Sha256Digest;

/// Why a file could not be stored, read or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// There is no such file in this organization.
    #[error("the organization has no file {sha256}; upload it again")]
    NotFound {
        /// The file that was asked for.
        sha256: Sha256Digest,
    },
    /// The file is larger than the caller takes.
    #[error("the file is larger than {limit_bytes} bytes; send a smaller one or raise the limit")]
    TooLarge {
        /// The most bytes the caller takes.
        limit_bytes: u64,
    },
    /// What is stored is not what was stored: its hash differs from its name.
    #[error("the stored file {sha256} is damaged; upload it again")]
    Corrupt {
        /// The file that was asked for.
        sha256: Sha256Digest,
    },
    /// The organization's id cannot be part of a key.
    #[error("an organization id for file storage is 1 to 128 letters, digits, '_' or '-'")]
    InvalidOrganization,
    /// The staged file missed some of its bytes, because a write to it failed before.
    #[error("the upload failed before it was complete; send the file again")]
    Incomplete,
    /// The file system failed.
    #[error("file storage failed to {doing}; check that its folder exists, is writable and has space left")]
    Io {
        /// What was being done, such as "write a staged file".
        doing: &'static str,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The S3 server refused: wrong credentials, missing rights, no such bucket.
    #[error("object storage refused to {doing}; check the bucket's name and region, the credentials and their rights")]
    Refused {
        /// What was being done, such as "store an object".
        doing: &'static str,
        /// What the server said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The S3 server could not be reached or failed, after retries.
    #[error("object storage failed to {doing}; it will be tried again")]
    Unavailable {
        /// What was being done, such as "store an object".
        doing: &'static str,
        /// What the server or the connection said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl FilesError {
    /// A stable kebab-case name for the kind of failure, fit for rows, metrics and API answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "file-not-found",
            Self::TooLarge { .. } => "file-too-large",
            Self::Corrupt { .. } => "file-corrupt",
            Self::InvalidOrganization => "file-organization-invalid",
            Self::Incomplete => "file-incomplete",
            Self::Io { .. } => "file-storage-failed",
            Self::Refused { .. } => "file-storage-refused",
            Self::Unavailable { .. } => "file-storage-unavailable",
        }
    }

    /// Whether trying again later may succeed without the caller changing anything. A full disk and missing rights
    /// count as such: an operator mends them while jobs wait.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Refused { .. } | Self::Unavailable { .. } => true,
            Self::NotFound { .. }
            | Self::TooLarge { .. }
            | Self::Corrupt { .. }
            | Self::InvalidOrganization
            | Self::Incomplete => false,
        }
    }

    /// For `map_err`: an I/O error with what was being done.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
