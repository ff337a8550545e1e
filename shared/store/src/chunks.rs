//! Chunks of documents and their embeddings.

use gristmill_core::ids::{ChunkId, DocumentId, SpaceId, VersionId};
use sea_orm::FromQueryResult;
use serde_json::json;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
    postings, spaces,
};

/// Rows per statement. More are slower, not faster: thousands per statement took nine times as long per row.
const BATCH: usize = 100;

/// A chunk to be kept.
#[derive(Debug, Clone)]
pub struct NewChunk {
    /// Its place in the document, from 0.
    pub ordinal: i32,
    /// Its text.
    pub text: String,
    /// The headings it stands under, outermost first.
    pub heading_path: Vec<String>,
    /// The first page it stands on, where the document has pages.
    pub page_first: Option<i32>,
    /// The last one.
    pub page_last: Option<i32>,
    /// Where it begins in the extracted text, in Unicode scalar values.
    pub start_char: i32,
    /// Where it ends.
    pub end_char: i32,
    /// Its length in tokens.
    pub tokens: i32,
    /// SHA-256 of its normalised text.
    pub hash: [u8; 32],
    /// Its embedding.
    pub embedding: Vec<f32>,
}

/// A chunk.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Chunk {
    /// Its id.
    pub id: ChunkId,
    /// Its place in the document, from 0.
    pub ordinal: i32,
    /// Its text.
    pub text: String,
    /// The headings it stands under, outermost first.
    pub heading_path: Vec<String>,
    /// The first page it stands on.
    pub page_first: Option<i32>,
    /// The last one.
    pub page_last: Option<i32>,
    /// Where it begins in the extracted text, in Unicode scalar values.
    pub start_char: i32,
    /// Where it ends.
    pub end_char: i32,
    /// Its length in tokens.
    pub tokens: i32,
}

/// Keeps chunks of a version, with embeddings in `space`, and lets keyword search know of them. `language` (ISO 639-1)
/// decides how words are stemmed.
///
/// # Errors
/// When the database refuses.
pub async fn insert(
    tx: &OrgTx,
    document: DocumentId,
    version: VersionId,
    space: SpaceId,
    language: Option<&str>,
    chunks: &[NewChunk],
) -> Result<()> {
    let config = text_config(language);
    for batch in chunks.chunks(BATCH) {
        let ids: Vec<ChunkId> = batch.iter().map(|_| ChunkId::generate()).collect();
        let rows: Vec<_> = batch.iter().zip(&ids).map(|(chunk, id)| row(chunk, *id)).collect();
        tx.execute(sql(
            "INSERT INTO chunks (id, org_id, document_id, version_id, ordinal, text, heading_path, page_first, page_last,
                 start_char, end_char, tokens, hash, text_config, lexemes, terms)
             SELECT r.id, $1, $2, $3, r.ordinal, r.text, r.heading_path, r.page_first, r.page_last, r.start_char,
                 r.end_char, r.tokens, decode(r.hash, 'hex'), $4, l.lexemes, least(l.terms, 32767)
             FROM jsonb_to_recordset($5) AS r(id uuid, ordinal int, text text, heading_path text[], page_first int,
                      page_last int, start_char int, end_char int, tokens int, hash text)
                  CROSS JOIN LATERAL (
                      SELECT setweight(to_tsvector($4::regconfig, array_to_string(r.heading_path, ' ')), 'B')
                          || to_tsvector($4::regconfig, r.text) AS lexemes OFFSET 0) AS w
                  CROSS JOIN LATERAL (
                      SELECT w.lexemes, coalesce(sum(greatest(cardinality(t.positions), 1)), 0) AS terms
                      FROM unnest(w.lexemes) AS t) AS l",
            [tx.org().into(), document.into(), version.into(), config.into(), serde_json::Value::from(rows).into()],
        ))
        .await?;
        let ids: Vec<uuid::Uuid> = ids.into_iter().map(ChunkId::uuid).collect();
        postings::add(tx, config, &ids).await?;
        let embeddings: Vec<&[f32]> = batch.iter().map(|chunk| chunk.embedding.as_slice()).collect();
        spaces::keep(tx, space, &ids, &embeddings).await?;
    }
    Ok(())
}

/// Removes what an earlier attempt kept of a version that search does not use yet.
///
/// # Errors
/// When the database cannot be asked.
pub async fn remove(tx: &OrgTx, version: VersionId) -> Result<()> {
    let statement = "DELETE FROM chunks WHERE version_id = $1 AND org_id = $2 AND NOT EXISTS (
        SELECT FROM documents d WHERE d.id = chunks.document_id AND d.current_version_id = $1)";
    tx.execute(sql(statement, [version.into(), tx.org().into()])).await?;
    Ok(())
}

/// How many chunks the version has.
///
/// # Errors
/// When the database cannot be asked.
pub async fn count(tx: &OrgTx, version: VersionId) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Row {
        chunks: i64,
    }
    let statement = "SELECT count(*) AS chunks FROM chunks WHERE version_id = $1 AND org_id = $2";
    let row: Option<Row> = tx.one(sql(statement, [version.into(), tx.org().into()])).await?;
    Ok(row.map_or(0, |row| row.chunks))
}

/// The chunks of the document's current version from place `from`, in order, at most `limit`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, document: DocumentId, from: i32, limit: u64) -> Result<Vec<Chunk>> {
    tx.all(sql(
        "SELECT c.id, c.ordinal, c.text, c.heading_path, c.page_first, c.page_last, c.start_char, c.end_char, c.tokens
         FROM chunks c JOIN documents d ON d.current_version_id = c.version_id
         WHERE d.id = $1 AND d.org_id = $2 AND d.deleted_at IS NULL AND c.ordinal >= $3 ORDER BY c.ordinal LIMIT $4",
        [document.into(), tx.org().into(), from.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()],
    ))
    .await
}

/// The text form of a vector, as pgvector reads it.
pub(crate) fn vector_text(vector: &[f32]) -> String {
    let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// The text search configuration of Postgres for a language; one that only lower-cases where there is none.
fn text_config(language: Option<&str>) -> &'static str {
    match language {
        Some("ar") => "arabic",
        Some("da") => "danish",
        Some("de") => "german",
        Some("el") => "greek",
        Some("en") => "english",
        Some("es") => "spanish",
        Some("fi") => "finnish",
        Some("fr") => "french",
        Some("hu") => "hungarian",
        Some("it") => "italian",
        Some("nl") => "dutch",
        Some("no" | "nb" | "nn") => "norwegian",
        Some("pt") => "portuguese",
        Some("ro") => "romanian",
        Some("ru") => "russian",
        Some("sv") => "swedish",
        Some("tr") => "turkish",
        _ => "simple",
    }
}

fn row(chunk: &NewChunk, id: ChunkId) -> serde_json::Value {
    let hash: String = chunk.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "id": id.uuid(), "ordinal": chunk.ordinal, "text": chunk.text, "heading_path": chunk.heading_path,
        "page_first": chunk.page_first, "page_last": chunk.page_last, "start_char": chunk.start_char,
        "end_char": chunk.end_char, "tokens": chunk.tokens, "hash": hash,
    })
}
