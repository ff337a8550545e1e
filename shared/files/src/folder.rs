//! Objects as files in a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use tokio_util::io::ReaderStream;

use crate::object_store::{Complete, Key, ObjectStore};
use crate::staged::blocking;
use crate::{ByteStream, FilesError};

/// Bytes read at once.
const STRIDE: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) async fn open(root: PathBuf) -> Result<Self, FilesError> {
        let made = root.clone();
        blocking("make the storage folder", move || fs::create_dir_all(made)).await?;
        Ok(Self { root })
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(&key.path)
    }
}

impl ObjectStore for Folder {
    fn put<'a>(&'a self, key: &'a Key, file: Complete) -> BoxFuture<'a, Result<(), FilesError>> {
        let (root, target) = (self.root.clone(), self.path(key));
        blocking("move a file to its place", move || place(&root, &target, file)).boxed()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<(u64, ByteStream), FilesError>> {
        async move {
            let file = tokio::fs::File::open(self.path(key)).await.map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => FilesError::NotFound { sha256: key.sha256 },
                _ => FilesError::Io { doing: "open a stored file", source },
            })?;
            let size_bytes = file.metadata().await.map_err(FilesError::io("open a stored file"))?.len();
            let bytes = ReaderStream::with_capacity(file, STRIDE)
                .map_err(|source| FilesError::Io { doing: "read a stored file", source });
            Ok((size_bytes, bytes.boxed()))
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<(), FilesError>> {
        async move {
            match tokio::fs::remove_file(self.path(key)).await {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    Err(FilesError::Io { doing: "delete a stored file", source })
                }
                _ => Ok(()),
            }
        }
        .boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), FilesError>> {
        // Files are staged inside this folder, and the staging area was checked before.
        futures::future::ready(Ok(())).boxed()
    }
}

/// Renames over whatever is there, so a reader sees the old or the new file and never a part, and a damaged one is
/// mended by storing it again. Then every folder up to the root is flushed: a rename is durable only when its folder is,
/// and a folder just made only when its parent is.
fn place(root: &Path, target: &Path, file: Complete) -> io::Result<()> {
    let folder = target.parent().unwrap_or(root);
    fs::create_dir_all(folder)?;
    file.path.persist(target).map_err(|error| error.error)?;
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(root)) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
