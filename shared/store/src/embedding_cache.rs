//! What was embedded before: vectors by the hash of the text that a model was given.
//!
//! Who uses an entry is kept beside it, so that a purge can tell which entries nobody else has.

use std::collections::HashMap;

use gristmill_core::ids::DocumentId;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::{
    chunks::vector_text,
    db::{OrgTx, Tx, sql},
    error::{Result, StoreError},
};

/// SHA-256 of a text as the model is given it.
pub type TextHash = [u8; 32];

/// The vectors that `model` made of texts with these hashes before.
///
/// # Errors
/// When the database cannot be asked.
pub async fn find(
    tx: &OrgTx,
    model: &str,
    dimensions: i32,
    hashes: &[TextHash],
) -> Result<HashMap<TextHash, Vec<f32>>> {
    #[derive(FromQueryResult)]
    struct Row {
        text_hash: Vec<u8>,
        embedding: Vec<f32>,
    }
    let statement = "SELECT text_hash, embedding::real[] AS embedding FROM embedding_cache
        WHERE org_id = $1 AND model = $2 AND dimensions = $3 AND text_hash = ANY($4)";
    let rows: Vec<Row> =
        tx.all(sql(statement, [tx.org().into(), model.into(), dimensions.into(), bytes(hashes)])).await?;
    let entry = |row: Row| {
        let hash = TextHash::try_from(row.text_hash).map_err(|_| StoreError::missing("a hash of 32 bytes"))?;
        Ok((hash, row.embedding))
    };
    rows.into_iter().map(entry).collect()
}

/// A vector that is to be kept, and the document it is used for.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Of the text.
    pub hash: TextHash,
    /// The document that has the text.
    pub document: DocumentId,
    /// The vector.
    pub embedding: &'a [f32],
}

/// Keeps vectors that `model` made; not those for documents that are gone.
///
/// # Errors
/// When the database refuses.
pub async fn keep(tx: &OrgTx, model: &str, dimensions: i32, entries: &[Entry<'_>]) -> Result<()> {
    let hashes: Vec<TextHash> = entries.iter().map(|entry| entry.hash).collect();
    let documents: Vec<Uuid> = entries.iter().map(|entry| entry.document.uuid()).collect();
    let embeddings: Vec<String> = entries.iter().map(|entry| vector_text(entry.embedding)).collect();
    // In the order of the keys: two that keep the same entries in another order would wait for each other. The document
    // is held, so that a purge comes before this or after it.
    tx.execute(sql(
        "INSERT INTO embedding_cache (org_id, model, dimensions, text_hash, embedding)
         SELECT $1, $2, $3, r.hash, r.embedding::halfvec
         FROM unnest($4::bytea[], $5::uuid[], $6::text[]) AS r(hash, document_id, embedding)
         WHERE EXISTS (SELECT FROM documents d WHERE d.id = r.document_id AND d.org_id = $1 FOR KEY SHARE)
         ORDER BY r.hash ON CONFLICT DO NOTHING",
        [tx.org().into(), model.into(), dimensions.into(), bytes(&hashes), documents.into(), embeddings.into()],
    ))
    .await?;
    Ok(())
}

/// Notes which documents use entries with which hashes.
///
/// # Errors
/// When the database refuses.
pub async fn note_uses(tx: &OrgTx, uses: &[(DocumentId, TextHash)]) -> Result<()> {
    let documents: Vec<Uuid> = uses.iter().map(|(document, _)| document.uuid()).collect();
    let hashes: Vec<TextHash> = uses.iter().map(|(_, hash)| *hash).collect();
    tx.execute(sql(
        "INSERT INTO embedding_uses (org_id, text_hash, document_id)
         SELECT $1, r.hash, r.document_id FROM unnest($2::bytea[], $3::uuid[]) AS r(hash, document_id)
         WHERE EXISTS (SELECT FROM documents d WHERE d.id = r.document_id AND d.org_id = $1 FOR KEY SHARE)
         ORDER BY r.hash, r.document_id ON CONFLICT DO NOTHING",
        [tx.org().into(), bytes(&hashes), documents.into()],
    ))
    .await?;
    Ok(())
}

/// Erases the entries that nobody uses besides this document. Call it before the document goes.
///
/// # Errors
/// When the database cannot be asked.
pub(crate) async fn forget(tx: &OrgTx, document: DocumentId) -> Result<()> {
    tx.execute(sql(
        "DELETE FROM embedding_cache WHERE org_id = $1 AND text_hash IN (
             SELECT u.text_hash FROM embedding_uses u WHERE u.document_id = $2 AND u.org_id = $1 AND NOT EXISTS (
                 SELECT FROM embedding_uses o
                 WHERE o.org_id = $1 AND o.text_hash = u.text_hash AND o.document_id <> $2))",
        [tx.org().into(), document.into()],
    ))
    .await?;
    Ok(())
}

fn bytes(hashes: &[TextHash]) -> sea_orm::Value {
    hashes.iter().map(|hash| hash.to_vec()).collect::<Vec<_>>().into()
}
