//! What the rest of Gristmill uses to keep files.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};

use crate::folder::Folder;
use crate::object_store::{Key, ObjectStore};
use crate::s3::S3;
use crate::staged::StagingArea;
use crate::{FilesConfig, FilesError, Sha256Digest, Staged};

/// A file's bytes as they come.
pub type ByteStream = BoxStream<'static, Result<Bytes, FilesError>>;

/// A file that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredFile {
    /// The hash of its bytes, which with the organization is its name.
    pub sha256: Sha256Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// The file storage. Cheap to clone; every clone is the same storage.
#[derive(Debug, Clone)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    staging: Arc<StagingArea>,
}

impl Files {
    /// Opens the storage. A folder is made if need be; an S3 server is not asked anything yet (see [`check`](Self::check)).
    /// Temporary files that dead processes left for more than a day are removed.
    ///
    /// # Errors
    /// [`FilesError::Io`] if a folder cannot be made or read.
    pub async fn open(config: &FilesConfig) -> Result<Self, FilesError> {
        let (store, staging): (Arc<dyn ObjectStore>, _) = match config {
            FilesConfig::Folder { path } => (Arc::new(Folder::open(path.clone()).await?), path.join(".staging")),
            FilesConfig::S3(config) => (Arc::new(S3::open(config).await), std::env::temp_dir()),
        };
        Ok(Self { store, staging: Arc::new(StagingArea::open(staging).await?) })
    }

    /// An empty temporary file that takes at most `max_bytes`.
    ///
    /// # Errors
    /// [`FilesError::Io`] if it cannot be made.
    pub async fn stage(&self, max_bytes: u64) -> Result<Staged, FilesError> {
        self.staging.stage(max_bytes).await
    }

    /// Keeps what was staged as a file of the organization `org`. It is durable when this returns. Storing bytes that
    /// are there already changes nothing.
    ///
    /// # Errors
    /// [`FilesError::Incomplete`] if a write to `staged` had failed, [`FilesError::InvalidOrganization`], or the
    /// storage's failure. The temporary file is gone then; nothing half-written is ever visible.
    pub async fn store(&self, org: &str, staged: Staged) -> Result<StoredFile, FilesError> {
        let (sha256, file) = staged.complete().await?;
        let key = Key::new(org, &sha256)?;
        let size_bytes = file.size_bytes;
        self.store.put(&key, file).await?;
        Ok(StoredFile { sha256, size_bytes })
    }

    /// A whole file, checked against its hash.
    ///
    /// # Errors
    /// [`FilesError::NotFound`], [`FilesError::TooLarge`] if it has more than `max_bytes` (nothing is read then),
    /// [`FilesError::Corrupt`] if the bytes are not what was stored, or the storage's failure.
    pub async fn read(&self, org: &str, sha256: &Sha256Digest, max_bytes: u64) -> Result<Bytes, FilesError> {
        let (size_bytes, mut bytes) = self.stream(org, sha256).await?;
        let too_large = FilesError::TooLarge { limit_bytes: max_bytes };
        if size_bytes > max_bytes {
            return Err(too_large);
        }
        let Ok(capacity) = usize::try_from(size_bytes) else {
            return Err(too_large);
        };
        let mut whole = BytesMut::with_capacity(capacity);
        while let Some(part) = bytes.try_next().await? {
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }

    /// A file's size in bytes, and its bytes as they come. The last item is [`FilesError::Corrupt`] if they turn out
    /// not to be what was stored.
    ///
    /// # Errors
    /// [`FilesError::NotFound`], [`FilesError::InvalidOrganization`], or the storage's failure.
    pub async fn stream(&self, org: &str, sha256: &Sha256Digest) -> Result<(u64, ByteStream), FilesError> {
        let key = Key::new(org, sha256)?;
        let (size_bytes, bytes) = self.store.get(&key).await?;
        Ok((size_bytes, verified(bytes, size_bytes, *sha256)))
    }

    /// Deletes a file of the organization. One that is not there is deleted already.
    ///
    /// # Errors
    /// [`FilesError::InvalidOrganization`], or the storage's failure.
    pub async fn delete(&self, org: &str, sha256: &Sha256Digest) -> Result<(), FilesError> {
        self.store.delete(&Key::new(org, sha256)?).await
    }

    /// Proves, by writing a few bytes, that the storage is reachable and writable. Meant for
    /// readiness, by a caller with a timeout of its own: a bucket that does not answer is tried again for minutes.
    ///
    /// # Errors
    /// What a write would fail with.
    pub async fn check(&self) -> Result<(), FilesError> {
        self.staging.check().await?;
        self.store.check().await
    }
}

/// Passes bytes on and ends with an error if they are more, fewer or others than the name says.
fn verified(bytes: ByteStream, size_bytes: u64, sha256: Sha256Digest) -> ByteStream {
    let start = Some((bytes, Sha256::new(), 0_u64));
    stream::unfold(start, move |state| async move {
        let (mut bytes, mut hasher, seen) = state?;
        let corrupt = Some((Err(FilesError::Corrupt { sha256 }), None));
        match bytes.next().await {
            Some(Ok(part)) => {
                hasher.update(&part);
                let seen = seen + part.len() as u64;
                // Cut off at once: the caller made room for the size it was told.
                if seen > size_bytes { corrupt } else { Some((Ok(part), Some((bytes, hasher, seen)))) }
            }
            Some(Err(error)) => Some((Err(error), None)),
            None if sha256.as_bytes() == hasher.finalize().as_slice() => None,
            None => corrupt,
        }
    })
    .boxed()
}
