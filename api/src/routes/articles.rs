//! `/v1/articles`: what was found in feeds.

use axum::{Json, extract::State, http::HeaderMap, response::Response};
use chrono::{DateTime, Utc};
use gristmill_core::ids::{ArticleId, DocumentId, FeedId};
use gristmill_store::articles::{self, Article};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Shared,
    auth::{Caller, Read},
    etag::tagged,
    params::{self, Id, List, Query},
    problem::ApiError,
};

/// An article.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArticleBody {
    /// Its id.
    #[schema(value_type = String, example = "art_01kahpz9vefv5r5j3s9x2e6d7k")]
    pub id: ArticleId,
    /// The feed it came in.
    #[schema(value_type = String)]
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
    /// The document that holds its text.
    #[schema(value_type = String)]
    pub document_id: DocumentId,
    /// When it was first found.
    pub created_at: DateTime<Utc>,
}

impl From<Article> for ArticleBody {
    fn from(article: Article) -> Self {
        let Article { id, feed_id, guid, url, title, author, published_at, content_hash: _, document_id, created_at } =
            article;
        Self { id, feed_id, guid, url, title, author, published_at, document_id, created_at }
    }
}

/// Which articles are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ArticlesQuery {
    /// Of the feed with this id.
    #[param(value_type = Option<String>)]
    feed: Option<FeedId>,
    /// Rows per page, 1 to 200; 50 if not given.
    limit: Option<u64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List articles, newest first.
#[utoipa::path(get, path = "/v1/articles", tag = "Feeds", params(ArticlesQuery),
    responses((status = 200, description = "A page of articles", body = List<ArticleBody>)))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Query(query): Query<ArticlesQuery>,
) -> Result<Json<List<ArticleBody>>, ApiError> {
    let page = params::page(query.limit, query.cursor.as_deref())?;
    let tx = app.engine.db().org(caller.org).await?;
    let rows = articles::list(&tx, query.feed, page).await?;
    tx.commit().await?;
    Ok(Json(List::of(page, rows, |article| article.id.uuid())))
}

/// Look at an article. `GET /v1/documents/{document_id}/text` has its text.
#[utoipa::path(get, path = "/v1/articles/{id}", tag = "Feeds",
    params(("id" = String, Path, description = "The article's id")),
    responses((status = 200, description = "The article", body = ArticleBody),
              (status = 304, description = "It is as `If-None-Match` knows it")))]
pub(crate) async fn show(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<ArticleId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let article = articles::find(&tx, id).await?.ok_or(ApiError::NotFound("article"))?;
    tx.commit().await?;
    tagged(&headers, &ArticleBody::from(article))
}
