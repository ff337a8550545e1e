//! Joining what ingests appended with its neighbours, and taking out what is gone.

use std::collections::HashMap;

use sea_orm::FromQueryResult;

use super::packed::{FULL, pack, parts, unpack};
use crate::{
    bm25::Posting,
    db::{OrgTx, Tx, sql},
    error::Result,
};

/// Terms gathered in one transaction.
const TERMS: i64 = 1_000;
/// Chunks taken out in one transaction.
const CHUNKS: i64 = 200;
/// Does a part of the gathering, and says whether more is left. Does nothing when somebody else is at it, unless told to
/// `wait` for them.
///
/// # Errors
/// When the database cannot be asked.
pub async fn gather(tx: &OrgTx, wait: bool) -> Result<bool> {
    if !enter(tx, wait).await? {
        return Ok(false);
    }
    let removed = take_out(tx).await?;
    let joined = join(tx).await?;
    if !removed && !joined {
        sum_up(tx).await?;
    }
    Ok(removed || joined)
}

/// Takes the lock under which one at a time gathers. Rows are then reached by their places and keys, whatever a planner
/// thinks of tables that it knows little of yet.
async fn enter(tx: &OrgTx, wait: bool) -> Result<bool> {
    #[derive(FromQueryResult)]
    struct Row {
        entered: bool,
    }
    const PLAIN: &str = "set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)";
    let lock = if wait {
        "true AS entered FROM (SELECT pg_advisory_xact_lock(hashtextextended($1, 3)) OFFSET 0) AS held"
    } else {
        "pg_try_advisory_xact_lock(hashtextextended($1, 3)) AS entered"
    };
    let statement = format!("SELECT {PLAIN}, {lock}");
    let row: Option<Row> = tx.one(sql(&statement, [format!("postings {}", tx.org()).into()])).await?;
    Ok(row.is_some_and(|row| row.entered))
}

/// A row that is to be written anew.
#[derive(FromQueryResult)]
struct Taken {
    config: String,
    term: String,
    first: i64,
    data: Vec<u8>,
    fresh: bool,
}

/// Takes chunks that are gone out of the rows that hold them. True where there may be more.
async fn take_out(tx: &OrgTx) -> Result<bool> {
    #[derive(FromQueryResult)]
    struct Removal {
        number: i64,
    }
    let statement = "SELECT number FROM posting_removals WHERE org_id = $1 ORDER BY number LIMIT $2";
    let removals: Vec<Removal> = tx.all(sql(statement, [tx.org().into(), CHUNKS.into()])).await?;
    let gone: Vec<i64> = removals.into_iter().map(|row| row.number).collect();
    if gone.is_empty() {
        return Ok(false);
    }
    let rows: Vec<Taken> = tx
        .all(sql(
            // Each pair is looked up by itself, whatever a planner thinks of tables that it knows little of.
            "WITH pairs AS MATERIALIZED (
                 SELECT r.config, t.term, r.number FROM posting_removals r CROSS JOIN LATERAL unnest(r.terms) AS t(term)
                 WHERE r.org_id = $1 AND r.number = ANY($2)),
             hits AS MATERIALIZED (
                 SELECT DISTINCT p.place FROM pairs CROSS JOIN LATERAL (
                     SELECT ctid AS place FROM postings p
                     WHERE p.org_id = $1 AND p.config = pairs.config AND p.term = pairs.term
                       AND pairs.number BETWEEN p.first AND p.last OFFSET 0) AS p)
             DELETE FROM postings p WHERE p.ctid = ANY(ARRAY(SELECT place FROM hits)) AND p.org_id = $1
             RETURNING p.config, p.term, p.first, p.data, p.fresh",
            [tx.org().into(), gone.clone().into()],
        ))
        .await?;
    let mut anew = Vec::with_capacity(rows.len());
    for row in rows {
        let left: Vec<Posting> =
            unpack(row.first, &row.data).filter(|posting| gone.binary_search(&posting.number).is_err()).collect();
        if !left.is_empty() {
            anew.push(Row::of(row.config, row.term, row.fresh, &left));
        }
    }
    write(tx, &anew).await?;
    let statement = "DELETE FROM posting_removals WHERE org_id = $1 AND number = ANY($2)";
    tx.execute(sql(statement, [tx.org().into(), gone.into()])).await?;
    Ok(true)
}

/// Joins fresh rows with those of the same term that are not full. True where there may be more.
async fn join(tx: &OrgTx) -> Result<bool> {
    let rows: Vec<Taken> = tx
        .all(sql(
            "WITH batch AS MATERIALIZED (
                 SELECT DISTINCT config, term FROM postings WHERE org_id = $1 AND fresh ORDER BY config, term LIMIT $2),
             hits AS MATERIALIZED (
                 SELECT p.place FROM batch CROSS JOIN LATERAL (
                     SELECT ctid AS place FROM postings p
                     WHERE p.org_id = $1 AND p.config = batch.config AND p.term = batch.term
                       AND (p.fresh OR p.entries < $3) OFFSET 0) AS p)
             DELETE FROM postings p WHERE p.ctid = ANY(ARRAY(SELECT place FROM hits)) AND p.org_id = $1
             RETURNING p.config, p.term, p.first, p.data, p.fresh",
            [tx.org().into(), TERMS.into(), i32::try_from(FULL).unwrap_or(i32::MAX).into()],
        ))
        .await?;
    if rows.is_empty() {
        return Ok(false);
    }
    let mut terms: HashMap<(String, String), Vec<Posting>> = HashMap::new();
    for row in rows {
        terms.entry((row.config, row.term)).or_default().extend(unpack(row.first, &row.data));
    }
    let mut anew = Vec::with_capacity(terms.len());
    for ((config, term), mut postings) in terms {
        postings.sort_unstable_by_key(|posting| posting.number);
        let row = |part: &[Posting]| Row::of(config.clone(), term.clone(), false, part);
        anew.extend(parts(&postings).map(row));
    }
    // The same order for whoever writes: the index is walked once.
    anew.sort_unstable_by(|one, other| {
        (&one.config, &one.term, one.first).cmp(&(&other.config, &other.term, other.first))
    });
    write(tx, &anew).await?;
    Ok(true)
}

/// Makes one row of the totals of a configuration where there are several.
async fn sum_up(tx: &OrgTx) -> Result<()> {
    tx.execute(sql(
        "WITH many AS (SELECT config FROM posting_totals WHERE org_id = $1 GROUP BY config HAVING count(*) > 1),
         gone AS (DELETE FROM posting_totals WHERE org_id = $1 AND config IN (SELECT config FROM many)
                  RETURNING config, chunks, terms)
         INSERT INTO posting_totals (org_id, config, chunks, terms)
         SELECT $1, config, sum(chunks), sum(terms) FROM gone GROUP BY config HAVING sum(chunks) <> 0",
        [tx.org().into()],
    ))
    .await?;
    Ok(())
}

/// A row to be written.
struct Row {
    config: String,
    term: String,
    first: i64,
    last: i64,
    entries: i32,
    most: i16,
    shortest: i16,
    fresh: bool,
    data: Vec<u8>,
}

impl Row {
    /// The row of `postings`, which are in order and not none.
    fn of(config: String, term: String, fresh: bool, postings: &[Posting]) -> Self {
        let first = postings.first().map_or(0, |posting| posting.number);
        let numbers =
            |of: fn(&Posting) -> u16| postings.iter().map(of).map(|number| i16::try_from(number).unwrap_or(i16::MAX));
        Self {
            config,
            term,
            first,
            last: postings.last().map_or(0, |posting| posting.number),
            entries: i32::try_from(postings.len()).unwrap_or(i32::MAX),
            most: numbers(|posting| posting.times).max().unwrap_or_default(),
            shortest: numbers(|posting| posting.terms).min().unwrap_or_default(),
            fresh,
            data: pack(first, postings),
        }
    }
}

async fn write(tx: &OrgTx, rows: &[Row]) -> Result<()> {
    for rows in rows.chunks(1_000) {
        let texts = |of: fn(&Row) -> &String| rows.iter().map(of).cloned().collect::<Vec<String>>();
        tx.execute(sql(
            "INSERT INTO postings (org_id, config, term, first, last, entries, most, shortest, fresh, data)
             SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::int[], $7::smallint[],
                 $8::smallint[], $9::boolean[], $10::bytea[])",
            [
                tx.org().into(),
                texts(|row| &row.config).into(),
                texts(|row| &row.term).into(),
                rows.iter().map(|row| row.first).collect::<Vec<_>>().into(),
                rows.iter().map(|row| row.last).collect::<Vec<_>>().into(),
                rows.iter().map(|row| row.entries).collect::<Vec<_>>().into(),
                rows.iter().map(|row| row.most).collect::<Vec<_>>().into(),
                rows.iter().map(|row| row.shortest).collect::<Vec<_>>().into(),
                rows.iter().map(|row| row.fresh).collect::<Vec<_>>().into(),
                rows.iter().map(|row| row.data.clone()).collect::<Vec<_>>().into(),
            ],
        ))
        .await?;
    }
    Ok(())
}
