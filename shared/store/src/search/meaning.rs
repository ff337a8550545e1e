//! Search by meaning: the vectors of a space that are nearest to the query's.

use sea_orm::{FromQueryResult, Value};

use super::{Filters, Found, Narrowed};
use crate::{
    chunks::vector_text,
    db::{OrgTx, Tx, sql},
    error::Result,
    spaces::Space,
};

/// How many vectors the index keeps in view, at least. Measured by `bench/search`: with 120, it finds 0.998 of the ten
/// nearest among 100,000 vectors of 1024 dimensions.
const IN_VIEW: i64 = 80;
/// How many vectors the index is followed through at most; then all that filters leave are compared.
const FOLLOWED: i64 = 40_000;
/// How much deeper it is looked where filters left too few.
const DEEPER: i64 = 4;

/// The `limit` chunks whose vectors in `space` are nearest to `embedding`, nearest first. However much filters leave out,
/// there are as many hits as there can be.
///
/// # Errors
/// When the database cannot be asked.
pub async fn by_meaning(
    tx: &OrgTx,
    space: &Space,
    embedding: &[f32],
    filters: &Filters,
    narrowed: &Narrowed,
    limit: usize,
) -> Result<Vec<Found>> {
    let search = Search { tx, space, embedding, filters, limit: i64::try_from(limit).unwrap_or(i64::MAX) };
    if let Some(chunks) = narrowed.ids() {
        return search.compared(Some(chunks)).await;
    }
    if space.indexed_at.is_none() {
        return search.compared(None).await;
    }
    let found = search.followed().await?;
    if found.len() >= limit {
        return Ok(found);
    }
    // The index gave up before it had enough, or there are no more.
    search.compared(None).await
}

struct Search<'a> {
    tx: &'a OrgTx,
    space: &'a Space,
    embedding: &'a [f32],
    filters: &'a Filters,
    limit: i64,
}

impl Search<'_> {
    /// The query's vector, read once: as a plain parameter, a generic plan would read its text again for every row.
    fn asked(&self) -> String {
        format!("(SELECT $3::text::halfvec({}))", self.embedding.len())
    }

    fn values(&self) -> Vec<Value> {
        vec![self.tx.org().into(), self.limit.into(), vector_text(self.embedding).into()]
    }

    /// Compares the vectors of `chunks`, or else all of the space, with the query's.
    async fn compared(&self, chunks: Option<Vec<uuid::Uuid>>) -> Result<Vec<Found>> {
        let most = chunks
            .as_ref()
            .map_or(self.limit, |chunks| self.limit.min(i64::try_from(chunks.len()).unwrap_or(i64::MAX)));
        if self.filters.is_empty() || chunks.is_some() {
            // Hardly any of what is near is of a version that is current no more, or deleted: the rest need not be looked up.
            let found = self.among(chunks.clone(), " ORDER BY distance LIMIT $2 * 2").await?;
            if i64::try_from(found.len()).unwrap_or(i64::MAX) >= most {
                return Ok(found);
            }
        }
        self.among(chunks, "").await
    }

    async fn among(&self, chunks: Option<Vec<uuid::Uuid>>, nearest: &str) -> Result<Vec<Found>> {
        let mut values = self.values();
        let (joins, conditions) = self.filters.conditions(&mut values);
        let among = chunks.map_or_else(String::new, |chunks| {
            values.push(chunks.into());
            format!(" AND e.chunk_id = ANY(${})", values.len())
        });
        let (asked, space) = (self.asked(), self.space.id.uuid());
        let statement = format!(
            "WITH near AS MATERIALIZED (
                 SELECT e.chunk_id, e.embedding <=> {asked} AS distance FROM embeddings e
                 WHERE e.org_id = $1 AND e.space_id = '{space}'{among}{nearest})
             SELECT c.id, c.document_id FROM near n JOIN chunks c ON c.id = n.chunk_id
                 JOIN documents d ON d.id = c.document_id AND d.current_version_id = c.version_id{joins}
             WHERE c.org_id = $1 AND d.org_id = $1 AND d.deleted_at IS NULL{conditions}
             ORDER BY n.distance, c.number LIMIT $2"
        );
        self.tx.all(sql(&statement, values)).await
    }

    /// Follows the index until there are enough that filters leave, or it has been followed far.
    async fn followed(&self) -> Result<Vec<Found>> {
        #[derive(FromQueryResult)]
        struct Set {}
        // The index is the only way that makes sense here, whatever a planner makes of sorting all instead.
        let settings = "SELECT set_config('hnsw.iterative_scan', 'strict_order', true),
            set_config('hnsw.max_scan_tuples', $1, true), set_config('hnsw.ef_search', $2, true),
            set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true),
            set_config('max_parallel_workers_per_gather', '0', true)";
        let in_view = self.limit.clamp(IN_VIEW, 1_000);
        self.tx.all::<Set>(sql(settings, [FOLLOWED.to_string().into(), in_view.to_string().into()])).await?;
        let mut depth = self.limit + self.limit / 2;
        loop {
            let found = self.near(depth).await?;
            if depth >= FOLLOWED || i64::try_from(found.len()).unwrap_or(i64::MAX) >= self.limit {
                return Ok(found);
            }
            depth *= DEEPER;
        }
    }

    /// Those of the `depth` nearest that filters leave.
    async fn near(&self, depth: i64) -> Result<Vec<Found>> {
        let mut values = self.values();
        values.push(depth.into());
        let (joins, conditions) = self.filters.conditions(&mut values);
        // A partial index serves only where the space stands in the statement itself, in a generic plan too.
        let (asked, space, dimensions) = (self.asked(), self.space.id.uuid(), self.embedding.len());
        let statement = format!(
            "WITH near AS MATERIALIZED (
                 SELECT e.chunk_id, e.embedding::halfvec({dimensions}) <=> {asked} AS distance FROM embeddings e
                 WHERE e.org_id = $1 AND e.space_id = '{space}'
                 ORDER BY e.embedding::halfvec({dimensions}) <=> {asked} LIMIT $4)
             SELECT c.id, c.document_id FROM near n JOIN chunks c ON c.id = n.chunk_id
                 JOIN documents d ON d.id = c.document_id AND d.current_version_id = c.version_id{joins}
             WHERE c.org_id = $1 AND d.org_id = $1 AND d.deleted_at IS NULL{conditions}
             ORDER BY n.distance, c.number LIMIT $2"
        );
        self.tx.all(sql(&statement, values)).await
    }
}
