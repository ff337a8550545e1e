//! Erasing documents for good, and the files that nothing refers to any more.
//!
//! Rows of the document go at once. What only names it or its words (postings, jobs that were about it) is found by a job
//! afterwards; the note of that is the last thing to go.
//!
//! A file may be handed in again while it is being erased. Both hold it by [`hold_file`] until they are committed, so that
//! whichever comes second sees what the first did.

use gristmill_core::ids::{DocumentId, JobId};
use sea_orm::{ConnectionTrait as _, FromQueryResult};
use uuid::Uuid;

use crate::{
    db::{OrgTx, Tx, sql},
    embedding_cache,
    error::Result,
};

/// Erases the document, deleted or not, with its versions, chunks and vectors, and says which files it had, which
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
    // Whoever keeps something for the document comes before this or finds it gone.
    let hold = "SELECT id FROM documents WHERE id = $1 AND org_id = $2 FOR UPDATE";
    tx.execute(sql(hold, [id.into(), tx.org().into()])).await?;
    embedding_cache::forget(tx, id).await?;
    let gone =
        tx.execute(sql("DELETE FROM documents WHERE id = $1 AND org_id = $2", [id.into(), tx.org().into()])).await?;
    Ok((gone == 1).then(|| files.into_iter().map(|row| row.file_sha256).collect()))
}

/// Notes that traces of a document that was purged may be left, under an id that says nothing of it.
///
/// # Errors
/// When the database cannot be asked.
pub async fn note(tx: &OrgTx, document: DocumentId) -> Result<Uuid> {
    let id = Uuid::now_v7();
    let statement = "INSERT INTO erasures (id, org_id, document_id) VALUES ($1, $2, $3)";
    tx.execute(sql(statement, [id.into(), tx.org().into(), document.into()])).await?;
    Ok(id)
}

/// The document whose traces the erasure is to find; `None` once that is done.
///
/// # Errors
/// When the database cannot be asked.
pub async fn noted(tx: &OrgTx, erasure: Uuid) -> Result<Option<DocumentId>> {
    #[derive(FromQueryResult)]
    struct Row {
        document_id: DocumentId,
    }
    let statement = "SELECT document_id FROM erasures WHERE id = $1 AND org_id = $2";
    Ok(tx.one::<Row>(sql(statement, [erasure.into(), tx.org().into()])).await?.map(|row| row.document_id))
}

/// Takes the note away.
///
/// # Errors
/// When the database cannot be asked.
pub async fn done(tx: &OrgTx, erasure: Uuid) -> Result<()> {
    let statement = "DELETE FROM erasures WHERE id = $1 AND org_id = $2";
    tx.execute(sql(statement, [erasure.into(), tx.org().into()])).await?;
    Ok(())
}

/// Jobs that are about the document or name it, in what they were given, in what they returned, or in their history; of
/// those after `after`, in the order of their ids. Looks at `most` jobs at once; `None` when there are no more to look at.
///
/// # Errors
/// When the database cannot be asked.
pub async fn jobs_that_name(
    tx: &OrgTx,
    document: DocumentId,
    after: Uuid,
    most: i64,
) -> Result<Option<(Vec<JobId>, Uuid)>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: JobId,
        names: bool,
    }
    let statement = "SELECT j.id, subject IS NOT DISTINCT FROM $3 OR strpos(args::text, $3) > 0
            OR strpos(coalesce(result::text, ''), $3) > 0
            OR EXISTS (SELECT FROM job_events e WHERE e.job_id = j.id AND strpos(e.data::text, $3) > 0)
            OR EXISTS (SELECT FROM job_steps s WHERE s.job_id = j.id AND strpos(s.output::text, $3) > 0) AS names
        FROM jobs j WHERE j.org_id = $1 AND j.id > $2 ORDER BY j.id LIMIT $4";
    let values = [tx.org().into(), after.into(), document.to_string().into(), most.into()];
    let rows: Vec<Row> = tx.all(sql(statement, values)).await?;
    let Some(last) = rows.last().map(|row| row.id.uuid()) else { return Ok(None) };
    Ok(Some((rows.into_iter().filter(|row| row.names).map(|row| row.id).collect(), last)))
}

/// Forgets answers kept for repeated requests that name the document.
///
/// # Errors
/// When the database cannot be asked.
pub async fn forget_answers(tx: &OrgTx, document: DocumentId) -> Result<()> {
    let statement = "DELETE FROM idempotency_keys WHERE org_id = $1
        AND (strpos(body::text, $2) > 0 OR strpos(coalesce(location, ''), $2) > 0)";
    tx.execute(sql(statement, [tx.org().into(), document.to_string().into()])).await?;
    Ok(())
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
