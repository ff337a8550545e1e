//! Erasing documents for good, and the files that nothing refers to any more.
//!
//! A file may be handed in again while it is being erased. Both hold it by [`hold_file`] until they are committed, so that
//! whichever comes second sees what the first did.

use gristmill_core::ids::DocumentId;
use sea_orm::{ConnectionTrait as _, FromQueryResult};

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
};

/// Erases the document, deleted or not, with its versions, chunks and embeddings, and says which files it had, which
/// are to be erased too where nothing else refers to them. `None` when there is no such document.
///
/// # Errors
/// When the database cannot be asked.
pub async fn purge(tx: &OrgTx, id: DocumentId) -> Result<Option<Vec<Vec<u8>>>> {
    #[derive(FromQueryResult)]
    struct Row {
        file_sha256: Vec<u8>,
    }
    let files = tx
        .all::<Row>(sql(
            "SELECT DISTINCT file_sha256 FROM document_versions
             WHERE document_id = $1 AND org_id = $2 AND file_sha256 IS NOT NULL",
            [id.into(), tx.org().into()],
        ))
        .await?;
    let gone =
        tx.execute(sql("DELETE FROM documents WHERE id = $1 AND org_id = $2", [id.into(), tx.org().into()])).await?;
    Ok((gone == 1).then(|| files.into_iter().map(|row| row.file_sha256).collect()))
}

/// Keeps every other transaction of the organization that hands in or erases this file waiting until this one ends.
///
/// # Errors
/// When the database cannot be asked.
pub async fn hold_file(tx: &OrgTx, sha256: &[u8]) -> Result<()> {
    let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))";
    tx.execute(sql(lock, [format!("file {} {hex}", tx.org()).into()])).await?;
    Ok(())
}

/// True if a version of any document refers to the file.
///
/// # Errors
/// When the database cannot be asked.
pub async fn refers_to(tx: &OrgTx, sha256: &[u8]) -> Result<bool> {
    let statement = "SELECT id FROM document_versions WHERE org_id = $1 AND file_sha256 = $2 LIMIT 1";
    let row = tx.raw().query_one_raw(sql(statement, [tx.org().into(), sha256.to_vec().into()])).await?;
    Ok(row.is_some())
}
