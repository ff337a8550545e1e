//! Articles: what was found in feeds. The text of an article is a document.

use chrono::{DateTime, Utc};
use gristmill_core::ids::{ArticleId, DocumentId, FeedId};
use sea_orm::FromQueryResult;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
    page::Page,
};

/// An article.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Article {
    /// Its id.
    pub id: ArticleId,
    /// The feed it came in.
    pub feed_id: FeedId,
    /// What the feed calls it.
    pub guid: String,
    /// Where it can be read.
    pub url: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When it was published, as the feed says.
    pub published_at: Option<DateTime<Utc>>,
    /// SHA-256 of what was taken from the feed, by which a revision shows.
    pub content_hash: Vec<u8>,
    /// The document that holds its text.
    pub document_id: DocumentId,
    /// When it was first found.
    pub created_at: DateTime<Utc>,
}

/// What a feed says of an article.
#[derive(Debug, Clone)]
pub struct NewArticle {
    /// The feed.
    pub feed_id: FeedId,
    /// What the feed calls it.
    pub guid: String,
    /// Where it can be read.
    pub url: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When it was published.
    pub published_at: Option<DateTime<Utc>>,
    /// SHA-256 of its content.
    pub content_hash: Vec<u8>,
    /// The document that holds its text.
    pub document_id: DocumentId,
}

const COLUMNS: &str = "id, feed_id, guid, url, title, author, published_at, content_hash, document_id, created_at";

/// The organization's article `id`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn find(tx: &OrgTx, id: ArticleId) -> Result<Option<Article>> {
    let statement = format!("SELECT {COLUMNS} FROM articles WHERE id = $1 AND org_id = $2");
    tx.one(sql(&statement, [id.into(), tx.org().into()])).await
}

/// The article that `feed` calls `guid`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn by_guid(tx: &OrgTx, feed: FeedId, guid: &str) -> Result<Option<Article>> {
    let statement = format!("SELECT {COLUMNS} FROM articles WHERE feed_id = $1 AND guid = $2 AND org_id = $3");
    tx.one(sql(&statement, [feed.into(), guid.into(), tx.org().into()])).await
}

/// A page of the organization's articles, newest first, of one feed or of all.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(tx: &OrgTx, feed: Option<FeedId>, page: Page) -> Result<Vec<Article>> {
    let statement = format!(
        "SELECT {COLUMNS} FROM articles WHERE org_id = $1 AND id < $2 AND ($3::uuid IS NULL OR feed_id = $3)
         ORDER BY id DESC LIMIT $4"
    );
    tx.all(sql(&statement, [tx.org().into(), page.before().into(), feed.into(), page.fetch().into()])).await
}

/// Keeps an article, or what its feed now says of it.
///
/// # Errors
/// When the database cannot be asked.
pub async fn upsert(tx: &OrgTx, article: &NewArticle) -> Result<()> {
    tx.execute(sql(
        "INSERT INTO articles (id, org_id, feed_id, guid, url, title, author, published_at, content_hash, document_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (feed_id, guid) DO UPDATE SET url = excluded.url, title = excluded.title, author = excluded.author,
             published_at = excluded.published_at, content_hash = excluded.content_hash, updated_at = now()",
        [
            ArticleId::generate().into(),
            tx.org().into(),
            article.feed_id.into(),
            article.guid.clone().into(),
            article.url.clone().into(),
            article.title.clone().into(),
            article.author.clone().into(),
            article.published_at.into(),
            article.content_hash.clone().into(),
            article.document_id.into(),
        ],
    ))
    .await?;
    Ok(())
}
