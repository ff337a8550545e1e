//! Embedding spaces: the vectors of an organization's chunks by one model.
//!
//! Search uses the space that is current. Another is built beside it and takes its place in one transaction, which waits for
//! ingests that are writing to the one before; that one stays, so that there is a way back.

use chrono::{DateTime, Utc};
use gristmill_core::ids::{ChunkId, DocumentId, JobId, SpaceId};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::{
    chunks::vector_text,
    db::{Db, OrgTx, SystemTx, Tx, sql},
    error::Result,
    page::Page,
};

/// Vectors from which an index is worth its making: fewer are compared one by one within some milliseconds, exactly.
pub const WORTH_AN_INDEX: i64 = 4_000;

/// An embedding space.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Space {
    /// Its id.
    pub id: SpaceId,
    /// The model that makes its vectors.
    pub model: String,
    /// How long they are.
    pub dimensions: i32,
    /// The version of the chunker that cut what it holds.
    pub chunker: i32,
    /// `building`, `ready` or `failed`.
    pub status: String,
    /// True for the one that search uses.
    pub current: bool,
    /// The job that builds it or built it last.
    pub job_id: Option<JobId>,
    /// When its index was made; before, its vectors are compared one by one.
    pub indexed_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was first complete.
    pub ready_at: Option<DateTime<Utc>>,
}

/// What makes one space different from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The model.
    pub model: String,
    /// The length of its vectors.
    pub dimensions: i32,
    /// The version of the chunker.
    pub chunker: i32,
}

const SELECT: &str = "SELECT id, model, dimensions, chunker, status, current, job_id, indexed_at, created_at, ready_at
    FROM embedding_spaces";

/// The space that search uses, if the organization has one yet.
///
/// # Errors
/// When the database cannot be asked.
pub async fn current(tx: &OrgTx) -> Result<Option<Space>> {
    tx.one(sql(&format!("{SELECT} WHERE org_id = $1 AND current"), [tx.org().into()])).await
}

/// The same, which stays the current one until the transaction ends.
///
/// # Errors
/// When the database cannot be asked.
pub async fn hold_current(tx: &OrgTx) -> Result<Option<Space>> {
    tx.one(sql(&format!("{SELECT} WHERE org_id = $1 AND current FOR SHARE"), [tx.org().into()])).await
}

/// The space that search uses; makes it, of this kind, where the organization has none.
///
/// # Errors
/// When the database cannot be asked.
pub async fn current_or_first(tx: &OrgTx, kind: &Kind) -> Result<Space> {
    if let Some(space) = current(tx).await? {
        return Ok(space);
    }
    tx.execute(sql(
        "INSERT INTO embedding_spaces (id, org_id, model, dimensions, chunker, status, current, ready_at)
         VALUES ($1, $2, $3, $4, $5, 'ready', true, now()) ON CONFLICT (org_id) WHERE current DO NOTHING",
        [
            SpaceId::generate().into(),
            tx.org().into(),
            kind.model.clone().into(),
            kind.dimensions.into(),
            kind.chunker.into(),
        ],
    ))
    .await?;
    current(tx).await?.ok_or_else(|| crate::StoreError::missing("an embedding space"))
}

/// Makes a space that `job` is to build.
///
/// # Errors
/// When the database cannot be asked.
pub async fn create(tx: &OrgTx, kind: &Kind, job: JobId) -> Result<SpaceId> {
    let id = SpaceId::generate();
    tx.execute(sql(
        "INSERT INTO embedding_spaces (id, org_id, model, dimensions, chunker, status, current, job_id)
         VALUES ($1, $2, $3, $4, $5, 'building', false, $6)",
        [
            id.into(),
            tx.org().into(),
            kind.model.clone().into(),
            kind.dimensions.into(),
            kind.chunker.into(),
            job.into(),
        ],
    ))
    .await?;
    Ok(id)
}

/// Names the job that brings the space up to date and lets search use it.
///
/// # Errors
/// When the database cannot be asked.
pub async fn assign(tx: &OrgTx, id: SpaceId, job: JobId) -> Result<()> {
    let statement = "UPDATE embedding_spaces SET job_id = $3,
        status = CASE WHEN status = 'failed' THEN 'building' ELSE status END WHERE id = $1 AND org_id = $2";
    tx.execute(sql(statement, [id.into(), tx.org().into(), job.into()])).await?;
    Ok(())
}

/// The organization's space `id`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn find(tx: &OrgTx, id: SpaceId) -> Result<Option<Space>> {
    tx.one(sql(&format!("{SELECT} WHERE id = $1 AND org_id = $2"), [id.into(), tx.org().into()])).await
}

/// The same, locked until the transaction ends.
///
/// # Errors
/// When the database cannot be asked.
pub async fn hold(tx: &OrgTx, id: SpaceId) -> Result<Option<Space>> {
    tx.one(sql(&format!("{SELECT} WHERE id = $1 AND org_id = $2 FOR UPDATE"), [id.into(), tx.org().into()])).await
}

/// A page of the organization's spaces, newest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, page: Page) -> Result<Vec<Space>> {
    let statement = format!("{SELECT} WHERE org_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    tx.all(sql(&statement, [tx.org().into(), page.before().into(), page.fetch().into()])).await
}

/// Removes a space with its vectors. Its index goes by [`drop_index`].
///
/// # Errors
/// When the database cannot be asked.
pub async fn remove(tx: &OrgTx, id: SpaceId) -> Result<()> {
    let statement = "DELETE FROM embedding_spaces WHERE id = $1 AND org_id = $2 AND NOT current";
    tx.execute(sql(statement, [id.into(), tx.org().into()])).await?;
    Ok(())
}

/// Keeps vectors of chunks; those that have one in the space already, or are gone, are left as they are.
///
/// # Errors
/// When the database refuses.
pub async fn keep(tx: &OrgTx, space: SpaceId, chunks: &[Uuid], embeddings: &[&[f32]]) -> Result<()> {
    let embeddings: Vec<String> = embeddings.iter().map(|embedding| vector_text(embedding)).collect();
    tx.execute(sql(
        "INSERT INTO embeddings (space_id, chunk_id, org_id, embedding)
         SELECT $2, r.id, $1, r.embedding::halfvec FROM unnest($3::uuid[], $4::text[]) AS r(id, embedding)
         WHERE EXISTS (SELECT FROM chunks c WHERE c.id = r.id AND c.org_id = $1 FOR KEY SHARE)
         ON CONFLICT DO NOTHING",
        [tx.org().into(), space.into(), chunks.to_vec().into(), embeddings.into()],
    ))
    .await?;
    Ok(())
}

/// A chunk that has no vector in a space.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Missing {
    /// The chunk.
    pub id: ChunkId,
    /// Its number; later chunks have higher ones.
    pub number: i64,
    /// The document it is of.
    pub document_id: DocumentId,
    /// Its text.
    pub text: String,
    /// The headings it stands under, outermost first.
    pub heading_path: Vec<String>,
}

/// The next `limit` chunks after number `after` that search uses and that have no vector in the space, in order.
///
/// # Errors
/// When the database cannot be asked.
pub async fn missing(tx: &OrgTx, space: SpaceId, after: i64, limit: i64) -> Result<Vec<Missing>> {
    tx.all(sql(
        "SELECT c.id, c.number, c.document_id, c.text, c.heading_path
         FROM chunks c JOIN documents d ON d.id = c.document_id AND d.current_version_id = c.version_id
         WHERE c.org_id = $1 AND d.org_id = $1 AND c.number > $3
           AND NOT EXISTS (SELECT FROM embeddings e WHERE e.space_id = $2 AND e.chunk_id = c.id)
         ORDER BY c.number LIMIT $4",
        [tx.org().into(), space.into(), after.into(), limit.into()],
    ))
    .await
}

/// How many chunks search uses, for a progress.
///
/// # Errors
/// When the database cannot be asked.
pub async fn chunks(tx: &OrgTx) -> Result<i64> {
    let statement = "SELECT coalesce(sum(chunks), 0)::bigint AS rows FROM posting_totals WHERE org_id = $1";
    counted(tx, sql(statement, [tx.org().into()])).await
}

/// How many vectors the space has; counted no further than `most`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn vectors(tx: &OrgTx, space: SpaceId, most: i64) -> Result<i64> {
    let statement = "SELECT count(*) AS rows FROM (
        SELECT FROM embeddings WHERE space_id = $1 AND org_id = $2 LIMIT $3) AS found";
    counted(tx, sql(statement, [space.into(), tx.org().into(), most.into()])).await
}

async fn counted(tx: &impl Tx, statement: sea_orm::Statement) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Row {
        rows: i64,
    }
    Ok(tx.one::<Row>(statement).await?.map_or(0, |row| row.rows))
}

/// Lets search and ingests use the space from now on. The one before is waited for: no ingest is writing to it any more
/// when this returns.
///
/// # Errors
/// When the database cannot be asked.
pub async fn flip(tx: &OrgTx, id: SpaceId) -> Result<()> {
    let off = "UPDATE embedding_spaces SET current = false WHERE org_id = $1 AND current AND id <> $2";
    tx.execute(sql(off, [tx.org().into(), id.into()])).await?;
    let on = "UPDATE embedding_spaces SET current = true, status = 'ready', ready_at = coalesce(ready_at, now())
        WHERE id = $2 AND org_id = $1";
    tx.execute(sql(on, [tx.org().into(), id.into()])).await?;
    Ok(())
}

/// Notes that the space has its index.
///
/// # Errors
/// When the database cannot be asked.
pub async fn indexed(tx: &OrgTx, id: SpaceId) -> Result<()> {
    let statement = "UPDATE embedding_spaces SET indexed_at = now() WHERE id = $1 AND org_id = $2";
    tx.execute(sql(statement, [id.into(), tx.org().into()])).await?;
    Ok(())
}

/// Spaces in use that have grown to be worth an index and have none, and whose they are.
///
/// # Errors
/// When the database cannot be asked.
pub async fn outgrown(tx: &SystemTx) -> Result<Vec<(gristmill_core::ids::OrgId, SpaceId)>> {
    #[derive(FromQueryResult)]
    struct Row {
        org_id: gristmill_core::ids::OrgId,
        id: SpaceId,
    }
    let statement = "SELECT s.org_id, s.id FROM embedding_spaces s
        WHERE s.current AND s.indexed_at IS NULL
          AND (SELECT sum(chunks) FROM posting_totals t WHERE t.org_id = s.org_id) >= $1
          -- Not again while one is at it, nor soon after one failed.
          AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = s.job_id
                          AND (j.finished_at IS NULL OR j.finished_at > now() - interval '1 hour'))
        LIMIT 10";
    let rows: Vec<Row> = tx.all(sql(statement, [WORTH_AN_INDEX.into()])).await?;
    Ok(rows.into_iter().map(|row| (row.org_id, row.id)).collect())
}

/// The name of a space's index.
fn index_name(id: SpaceId) -> String {
    format!("embeddings_of_{}", id.uuid().simple())
}

/// Makes the space's HNSW index, whatever an earlier attempt left of it. Takes minutes for many vectors; nobody waits
/// for it, readers or writers, and it is no part of any transaction.
///
/// # Errors
/// What the database said.
pub async fn make_index(db: &Db, space: &Space) -> Result<()> {
    let (name, id, dimensions) = (index_name(space.id), space.id.uuid(), space.dimensions);
    let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
    // Taken as it is needed: 2.4 kB for a vector of 1024 dimensions. What does not fit is built on disk, many times slower.
    let memory = "SET maintenance_work_mem = '512MB'";
    let make = format!(
        "CREATE INDEX CONCURRENTLY {name} ON embeddings USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops)
         WITH (m = 16, ef_construction = 64) WHERE space_id = '{id}'"
    );
    let made = db.define(&[&drop, memory, &make]).await;
    match made {
        // Workers of a build share memory that a container may not have.
        Err(error) if error.is_unavailable() => {
            db.define(&[&drop, memory, "SET max_parallel_maintenance_workers = 0", &make]).await
        }
        other => other,
    }
}

/// Drops the index of a space, if it has one.
///
/// # Errors
/// What the database said.
pub async fn drop_index(db: &Db, id: SpaceId) -> Result<()> {
    db.define(&[&format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index_name(id))]).await
}
