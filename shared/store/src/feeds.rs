//! Feeds that are polled.

use chrono::{DateTime, Utc};
use gristmill_core::ids::{FeedId, OrgId};
use sea_orm::FromQueryResult;
use serde_json::Value as Json;

use crate::{
    db::{OrgTx, SystemTx, Tx, sql},
    error::Result,
    page::Page,
};

/// How often a feed is polled until more is known of it, in seconds.
pub const FIRST_INTERVAL_S: i32 = 3_600;

/// A feed.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Feed {
    /// Its id.
    pub id: FeedId,
    /// Where it is.
    pub url: String,
    /// What it calls itself.
    pub title: Option<String>,
    /// The site it belongs to.
    pub site_url: Option<String>,
    /// The validator of the answer last read.
    pub etag: Option<String>,
    /// The other validator.
    pub last_modified: Option<String>,
    /// Seconds between polls.
    pub poll_interval_s: i32,
    /// When it is polled next.
    pub next_poll_at: DateTime<Utc>,
    /// When it was polled last.
    pub polled_at: Option<DateTime<Utc>>,
    /// What went wrong at the last poll.
    pub error: Option<Json>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

const COLUMNS: &str = "id, url, title, site_url, etag, last_modified, poll_interval_s, next_poll_at, polled_at, error, \
    created_at";

/// Adds the feed at `url`; `None` when the organization has it already. Its first poll is the caller's to submit.
///
/// # Errors
/// When the database cannot be asked.
pub async fn create(tx: &OrgTx, url: &str) -> Result<Option<Feed>> {
    let statement = format!(
        "INSERT INTO feeds (id, org_id, url, poll_interval_s, next_poll_at)
         VALUES ($1, $2, $3, $4, now() + make_interval(secs => $4))
         ON CONFLICT (org_id, url) WHERE deleted_at IS NULL DO NOTHING RETURNING {COLUMNS}"
    );
    tx.one(sql(&statement, [FeedId::generate().into(), tx.org().into(), url.into(), FIRST_INTERVAL_S.into()])).await
}

/// The organization's feed `id`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn find(tx: &OrgTx, id: FeedId) -> Result<Option<Feed>> {
    let statement = format!("SELECT {COLUMNS} FROM feeds WHERE id = $1 AND org_id = $2 AND deleted_at IS NULL");
    tx.one(sql(&statement, [id.into(), tx.org().into()])).await
}

/// The organization's feed at `url`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn by_url(tx: &OrgTx, url: &str) -> Result<Option<Feed>> {
    let statement = format!("SELECT {COLUMNS} FROM feeds WHERE url = $1 AND org_id = $2 AND deleted_at IS NULL");
    tx.one(sql(&statement, [url.into(), tx.org().into()])).await
}

/// A page of the organization's feeds, newest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, page: Page) -> Result<Vec<Feed>> {
    let statement = format!(
        "SELECT {COLUMNS} FROM feeds WHERE org_id = $1 AND id < $2 AND deleted_at IS NULL ORDER BY id DESC LIMIT $3"
    );
    tx.all(sql(&statement, [tx.org().into(), page.before().into(), page.fetch().into()])).await
}

/// Stops polling the feed; its articles stay. False when there is no such feed.
///
/// # Errors
/// When the database cannot be asked.
pub async fn delete(tx: &OrgTx, id: FeedId) -> Result<bool> {
    let statement = "UPDATE feeds SET deleted_at = now() WHERE id = $1 AND org_id = $2 AND deleted_at IS NULL";
    Ok(tx.execute(sql(statement, [id.into(), tx.org().into()])).await? == 1)
}

/// What a successful poll found out about a feed.
#[derive(Debug, Clone, Default)]
pub struct Polled {
    /// What the feed calls itself, where it answered with content.
    pub title: Option<String>,
    /// The site it belongs to, likewise.
    pub site_url: Option<String>,
    /// The answer's validator.
    pub etag: Option<String>,
    /// The answer's other validator.
    pub last_modified: Option<String>,
}

/// Keeps what a successful poll found out.
///
/// # Errors
/// When the database cannot be asked.
pub async fn polled(tx: &OrgTx, id: FeedId, polled: &Polled) -> Result<()> {
    tx.execute(sql(
        "UPDATE feeds SET title = coalesce($3, title), site_url = coalesce($4, site_url),
             etag = coalesce($5, etag), last_modified = coalesce($6, last_modified), polled_at = now(), error = NULL
         WHERE id = $1 AND org_id = $2",
        [
            id.into(),
            tx.org().into(),
            polled.title.clone().into(),
            polled.site_url.clone().into(),
            polled.etag.clone().into(),
            polled.last_modified.clone().into(),
        ],
    ))
    .await?;
    Ok(())
}

/// Keeps why a poll failed.
///
/// # Errors
/// When the database cannot be asked.
pub async fn failed(tx: &OrgTx, id: FeedId, error: &Json) -> Result<()> {
    let statement = "UPDATE feeds SET polled_at = now(), error = $3 WHERE id = $1 AND org_id = $2";
    tx.execute(sql(statement, [id.into(), tx.org().into(), error.clone().into()])).await?;
    Ok(())
}

/// A feed whose time has come, and whose it is.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Due {
    /// The feed.
    pub id: FeedId,
    /// Whose it is.
    pub org_id: OrgId,
}

/// Takes up to `limit` feeds whose time has come and sets their next time, so that of any number of schedulers one
/// takes each.
///
/// # Errors
/// When the database cannot be asked.
pub async fn take_due(tx: &SystemTx, limit: i64) -> Result<Vec<Due>> {
    tx.all(sql(
        "UPDATE feeds SET next_poll_at = now() + make_interval(secs => poll_interval_s)
         WHERE id IN (SELECT id FROM feeds WHERE deleted_at IS NULL AND next_poll_at <= now()
                      ORDER BY next_poll_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING id, org_id",
        [limit.into()],
    ))
    .await
}
