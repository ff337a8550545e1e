//! Which chunks hold a term: the rows that keyword search ranks by.
//!
//! An ingest appends rows of its own, so that ingests never wait for one another. [`gather`] joins them with their
//! neighbours to rows of 224 postings and takes out what is gone; one at a time per organization does that, in
//! short transactions, and what it has not got to yet is found all the same.

mod gather;
mod packed;

use gristmill_core::ids::OrgId;
use sea_orm::FromQueryResult;
use uuid::Uuid;

pub use self::gather::gather;
use self::packed::unpack;
use crate::{
    bm25::Posting,
    db::{OrgTx, SystemTx, Tx, sql},
    error::Result,
};

/// Adds the postings of chunks that were just kept with this configuration.
pub(crate) async fn add(tx: &OrgTx, config: &str, chunks: &[Uuid]) -> Result<()> {
    tx.execute(sql(
        "WITH added AS MATERIALIZED (
             SELECT number, terms, lexemes FROM chunks WHERE id = ANY($3) AND org_id = $1),
         total AS (
             INSERT INTO posting_totals (org_id, config, chunks, terms)
             SELECT $1, $2, count(*), coalesce(sum(terms), 0) FROM added)
         INSERT INTO postings (org_id, config, term, first, last, entries, most, shortest, fresh, data)
         SELECT $1, $2, term, min(number), max(number), count(*), max(times), min(terms), true,
                string_agg(int4send((number - base)::int) || int2send(times) || int2send(terms), ''::bytea ORDER BY number)
         FROM (SELECT t.lexeme AS term, a.number, a.terms, greatest(cardinality(t.positions), 1)::smallint AS times,
                      min(a.number) OVER (PARTITION BY t.lexeme) AS base
               FROM added a CROSS JOIN LATERAL unnest(a.lexemes) AS t) AS found
         GROUP BY term",
        [tx.org().into(), config.into(), chunks.to_vec().into()],
    ))
    .await?;
    Ok(())
}

/// How many chunks there are of a configuration, and how long they are.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Total {
    /// The text search configuration.
    pub(crate) config: String,
    /// How many chunks.
    pub(crate) chunks: i64,
    /// How many terms they have together.
    pub(crate) terms: i64,
}

/// The totals of the organization, by configuration.
pub(crate) async fn totals(tx: &OrgTx) -> Result<Vec<Total>> {
    let statement = "SELECT config, sum(chunks)::bigint AS chunks, sum(terms)::bigint AS terms
        FROM posting_totals WHERE org_id = $1 GROUP BY config HAVING sum(chunks) > 0 ORDER BY config";
    tx.all(sql(statement, [tx.org().into()])).await
}

/// What is known of a term without reading its postings.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct TermStats {
    /// The term.
    pub(crate) term: String,
    /// How many chunks have it.
    pub(crate) entries: i64,
    /// How often one has it at most.
    pub(crate) most: i16,
    /// How short one that has it is at least.
    pub(crate) shortest: i16,
}

/// Statistics of `terms`; those that no chunk has are missing.
pub(crate) async fn stats(tx: &OrgTx, config: &str, terms: &[String]) -> Result<Vec<TermStats>> {
    let statement = "SELECT term, sum(entries)::bigint AS entries, max(most) AS most, min(shortest) AS shortest
        FROM postings WHERE org_id = $1 AND config = $2 AND term = ANY($3) GROUP BY term";
    tx.all(sql(statement, [tx.org().into(), config.into(), terms.to_vec().into()])).await
}

#[derive(FromQueryResult)]
struct Data {
    term: String,
    first: i64,
    data: Vec<u8>,
}

/// All postings of `terms`.
pub(crate) async fn of_terms(tx: &OrgTx, config: &str, terms: &[String]) -> Result<Vec<(String, Vec<Posting>)>> {
    let statement = "SELECT term, first, data FROM postings
        WHERE org_id = $1 AND config = $2 AND term = ANY($3) ORDER BY term, first";
    let rows: Vec<Data> = tx.all(sql(statement, [tx.org().into(), config.into(), terms.to_vec().into()])).await?;
    let mut found: Vec<(String, Vec<Posting>)> = Vec::new();
    for row in rows {
        let postings = unpack(row.first, &row.data);
        match found.last_mut() {
            Some((term, before)) if *term == row.term => before.extend(postings),
            _ => found.push((row.term, postings.collect())),
        }
    }
    Ok(found)
}

/// The postings of `term` in those of its rows that may hold any of `chunks`, which are in order.
pub(crate) async fn of_chunks(tx: &OrgTx, config: &str, term: &str, chunks: &[i64]) -> Result<Vec<Posting>> {
    #[derive(FromQueryResult)]
    struct Extent {
        first: i64,
        last: i64,
    }
    let statement = "SELECT first, last FROM postings WHERE org_id = $1 AND config = $2 AND term = $3";
    let extents: Vec<Extent> = tx.all(sql(statement, [tx.org().into(), config.into(), term.into()])).await?;
    let wanted = |extent: &Extent| {
        let next = chunks.partition_point(|number| *number < extent.first);
        chunks.get(next).is_some_and(|number| *number <= extent.last)
    };
    let firsts: Vec<i64> = extents.into_iter().filter(wanted).map(|extent| extent.first).collect();
    if firsts.is_empty() {
        return Ok(Vec::new());
    }
    let statement = "SELECT term, first, data FROM postings
        WHERE org_id = $1 AND config = $2 AND term = $3 AND first = ANY($4)";
    let values = [tx.org().into(), config.into(), term.into(), firsts.into()];
    let rows: Vec<Data> = tx.all(sql(statement, values)).await?;
    Ok(rows.iter().flat_map(|row| unpack(row.first, &row.data)).collect())
}

/// Organizations whose postings are to be gathered, found by hopping through indexes.
///
/// # Errors
/// When the database cannot be asked.
pub async fn ungathered(tx: &SystemTx) -> Result<Vec<OrgId>> {
    #[derive(FromQueryResult)]
    struct Row {
        org_id: OrgId,
    }
    let hop = |table: &str, condition: &str| {
        format!(
            "(WITH RECURSIVE found(org_id) AS (
                 (SELECT org_id FROM {table} WHERE {condition} ORDER BY org_id LIMIT 1)
                 UNION ALL
                 SELECT (SELECT t.org_id FROM {table} t WHERE {condition} AND t.org_id > found.org_id
                         ORDER BY t.org_id LIMIT 1)
                 FROM found WHERE found.org_id IS NOT NULL)
             SELECT org_id FROM found WHERE org_id IS NOT NULL)"
        )
    };
    let statement = format!("{} UNION {}", hop("postings", "fresh"), hop("posting_removals", "true"));
    Ok(tx.all::<Row>(sql(&statement, [])).await?.into_iter().map(|row| row.org_id).collect())
}
