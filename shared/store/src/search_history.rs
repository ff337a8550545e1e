//! What was searched for, unless the organization forbids that to be kept.

use chrono::{DateTime, Utc};
use gristmill_core::ids::SearchId;
use sea_orm::FromQueryResult;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
    page::Page,
};

/// A search that was made.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Search {
    /// Its id.
    pub id: SearchId,
    /// What was typed.
    pub query: String,
    /// How it was searched: `hybrid`, `semantic` or `keyword`.
    pub mode: String,
    /// How many results it had.
    pub hits: i32,
    /// How long it took.
    pub took_ms: i32,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Keeps a search, if the organization allows it. What a crash forgets of this, nobody misses: its commit does not wait for
/// the disk.
///
/// # Errors
/// When the database cannot be asked.
pub async fn keep(tx: &OrgTx, query: &str, mode: &str, hits: usize, took_ms: u64) -> Result<()> {
    tx.execute(sql(
        "INSERT INTO search_history (id, org_id, query, mode, hits, took_ms)
         SELECT $2, id, $3, $4, $5, $6 FROM organizations, set_config('synchronous_commit', 'off', true)
         WHERE id = $1 AND search_history",
        [
            tx.org().into(),
            SearchId::generate().into(),
            query.replace('\0', " ").into(),
            mode.into(),
            i32::try_from(hits).unwrap_or(i32::MAX).into(),
            i32::try_from(took_ms).unwrap_or(i32::MAX).into(),
        ],
    ))
    .await?;
    Ok(())
}

/// A page of what was searched for, newest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, page: Page) -> Result<Vec<Search>> {
    let statement = "SELECT id, query, mode, hits, took_ms, created_at FROM search_history
        WHERE org_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
    tx.all(sql(statement, [tx.org().into(), page.before().into(), page.fetch().into()])).await
}

/// Erases all of it.
///
/// # Errors
/// When the database cannot be asked.
pub async fn erase(tx: &OrgTx) -> Result<()> {
    tx.execute(sql("DELETE FROM search_history WHERE org_id = $1", [tx.org().into()])).await?;
    Ok(())
}

/// Allows or forbids it to be kept. Forbidding erases what was kept.
///
/// # Errors
/// When the database cannot be asked.
pub async fn allow(tx: &OrgTx, allowed: bool) -> Result<()> {
    let statement = "UPDATE organizations SET search_history = $2 WHERE id = $1";
    tx.execute(sql(statement, [tx.org().into(), allowed.into()])).await?;
    if allowed { Ok(()) } else { erase(tx).await }
}
