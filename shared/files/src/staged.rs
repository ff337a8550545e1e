//! A file on its way in: written to a temporary file and hashed as it comes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use gristmill_core::clock;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::object_store::Complete;
use crate::{FilesError, Sha256Digest};

/// Leads the names of staged files, so that a sweep finds its own and nothing else.
const NAME: &str = "gristmill-staged-";
/// A staged file not written to for this long was left behind by a process that died.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes hashed and written at once: SHA-256 of so much takes the thread for about a millisecond at most.
const STRIDE: usize = 256 * 1024;
const DOING: &str = "write a staged file";

/// A temporary file that hashes what is written to it. Removed on drop; [`Files::store`](crate::Files::store) keeps it.
#[derive(Debug)]
pub struct Staged {
    file: File,
    path: TempPath,
    hasher: Sha256,
    size_bytes: u64,
    limit_bytes: u64,
    /// A write failed, so the file lacks bytes and must not be stored.
    broken: bool,
}

impl Staged {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`FilesError::TooLarge`] when the file would pass its limit, [`FilesError::Io`] when the disk fails. Either
    /// way the file cannot be stored any more.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), FilesError> {
        if self.broken {
            return Err(FilesError::Incomplete);
        }
        // Broken until all of it is written: a caller may drop this future halfway.
        self.broken = true;
        self.size_bytes = self.size_bytes.saturating_add(bytes.len() as u64);
        if self.size_bytes > self.limit_bytes {
            return Err(FilesError::TooLarge { limit_bytes: self.limit_bytes });
        }
        for stride in bytes.chunks(STRIDE) {
            self.hasher.update(stride);
            self.file.write_all(stride).await.map_err(FilesError::io(DOING))?;
        }
        self.broken = false;
        Ok(())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Waits until every byte is on disk, and closes the file.
    pub(crate) async fn complete(mut self) -> Result<(Sha256Digest, Complete), FilesError> {
        if self.broken {
            return Err(FilesError::Incomplete);
        }
        self.file.flush().await.map_err(FilesError::io(DOING))?;
        self.file.sync_all().await.map_err(FilesError::io(DOING))?;
        let digest: [u8; 32] = self.hasher.finalize().into();
        Ok((digest.into(), Complete { path: self.path, size_bytes: self.size_bytes }))
    }
}

/// The folder in which files are staged.
#[derive(Debug)]
pub(crate) struct StagingArea {
    folder: PathBuf,
}

impl StagingArea {
    /// Makes the folder if need be and sweeps what dead processes left in it.
    pub(crate) async fn open(folder: PathBuf) -> Result<Self, FilesError> {
        let area = Self { folder: folder.clone() };
        blocking("open the staging folder", move || {
            fs::create_dir_all(&folder)?;
            sweep(&folder)
        })
        .await?;
        Ok(area)
    }

    pub(crate) async fn stage(&self, limit_bytes: u64) -> Result<Staged, FilesError> {
        let folder = self.folder.clone();
        let named =
            blocking("make a staged file", move || tempfile::Builder::new().prefix(NAME).tempfile_in(folder)).await?;
        let (file, path) = named.into_parts();
        Ok(Staged {
            file: File::from_std(file),
            path,
            hasher: Sha256::new(),
            size_bytes: 0,
            limit_bytes,
            broken: false,
        })
    }

    /// Proves that a file can be made, written through to disk and removed.
    pub(crate) async fn check(&self) -> Result<(), FilesError> {
        let mut staged = self.stage(16).await?;
        staged.write(Bytes::from_static(b"check")).await?;
        staged.complete().await?;
        Ok(())
    }
}

/// Removes staged files nobody has written to for a day. One that vanishes or cannot be removed meanwhile is another
/// process's affair (the system's temporary folder is shared), so it is logged and left.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(NAME) {
            continue;
        }
        let removed = entry.metadata().and_then(|metadata| metadata.modified()).and_then(|modified| {
            let age = SystemTime::from(clock::now()).duration_since(modified).unwrap_or_default();
            if age > LEFT_BEHIND { fs::remove_file(entry.path()) } else { Ok(()) }
        });
        if let Err(error) = removed {
            tracing::warn!(file.path = %entry.path().display(), %error, "a staged file left behind could not be removed");
        }
    }
    Ok(())
}

/// Runs file system calls where they may block.
pub(crate) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FilesError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(FilesError::io(doing)),
        Err(error) => Err(FilesError::Io { doing, source: io::Error::other(error) }),
    }
}
