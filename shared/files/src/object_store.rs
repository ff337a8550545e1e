//! The edge between this crate and the place where objects lie.

use std::fmt;

use futures::future::BoxFuture;
use tempfile::TempPath;

use crate::{ByteStream, FilesError, Sha256Digest};

/// The name of an object: `{org}/{first two hex}/{sha256 hex}`. Only made from checked parts, so it never leaves its place.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) path: String,
    pub(crate) sha256: Sha256Digest,
}

impl Key {
    /// # Errors
    /// [`FilesError::InvalidOrganization`] for anything that could climb out of the organization's part of the store.
    pub(crate) fn new(org: &str, sha256: &Sha256Digest) -> Result<Self, FilesError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if org.is_empty() || org.len() > 128 || !org.bytes().all(allowed) {
            return Err(FilesError::InvalidOrganization);
        }
        let hex = sha256.to_string();
        Ok(Self { path: format!("{org}/{}/{hex}", &hex[..2]), sha256: *sha256 })
    }
}

/// A temporary file with all its bytes, flushed to disk.
pub(crate) struct Complete {
    /// Removed on drop, unless it was moved to its place.
    pub(crate) path: TempPath,
    pub(crate) size_bytes: u64,
}

/// A place for objects.
pub(crate) trait ObjectStore: fmt::Debug + Send + Sync {
    /// Makes `file` the object `key`, replacing it if it exists (its bytes are the same by name). Durable on return.
    fn put<'a>(&'a self, key: &'a Key, file: Complete) -> BoxFuture<'a, Result<(), FilesError>>;

    /// The object's size in bytes and its bytes, not checked against its name.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<(u64, ByteStream), FilesError>>;

    /// Removes the object; one that is not there is removed already.
    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<(), FilesError>>;

    /// Proves that the place is reachable and writable.
    fn check(&self) -> BoxFuture<'_, Result<(), FilesError>>;
}
