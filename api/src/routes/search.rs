//! `/v1/search`: finding passages by words, by meaning, or by both.

mod highlights;
mod rank;

use std::{collections::HashMap, time::Instant};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use gristmill_ai::{AiError, Embedder, Reranker};
use gristmill_core::ids::{ArticleId, ChunkId, DocumentId, OrgId};
use gristmill_store::{
    OrgTx, StoreError,
    search::{self, Filters, Found, Hit},
    search_history,
    spaces::{self, Space},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::highlights::Range;
use self::{
    highlights::highlights,
    rank::{Ranked, fuse, in_order},
};
use crate::{
    app::Shared,
    auth::{Caller, Read},
    body::JsonBody,
    params,
    problem::ApiError,
};

/// The most results.
const MOST: usize = 100;
/// The most documents that a search can be narrowed to by their ids.
const MOST_DOCUMENTS: usize = 1_000;
/// Candidates that a reranker is asked about, at least.
const RERANKED: usize = 50;

/// What is searched for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// Words. Phrases in quotes and `-not` words work where words are searched for.
    #[schema(example = "bearing temperature limits")]
    query: String,
    /// How to search.
    #[serde(default)]
    mode: Mode,
    /// The most results, 1 to 100; 10 if not given.
    #[schema(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// What results must satisfy.
    #[serde(default)]
    filters: SearchFilters,
    /// What each of the two ways counts in hybrid mode. If not given, what is right for the embedding model in use.
    weights: Option<Weights>,
    /// Let a model that reads each of the best candidates with the query put them in order, where one is configured.
    #[serde(default)]
    rerank: bool,
}

/// What each way of searching counts.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Searching by words, 0 to 10.
    #[schema(minimum = 0, maximum = 10)]
    keyword: f64,
    /// Searching by meaning, 0 to 10.
    #[schema(minimum = 0, maximum = 10)]
    semantic: f64,
}

/// How to search.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By words and by meaning, joined by reciprocal rank fusion.
    #[default]
    Hybrid,
    /// By meaning.
    Semantic,
    /// By words.
    Keyword,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Semantic => "semantic",
            Self::Keyword => "keyword",
        }
    }
}

/// What results must satisfy; what is not given does not narrow.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchFilters {
    /// All of these tags.
    #[serde(default)]
    tags: Vec<String>,
    /// This category.
    category: Option<String>,
    /// This engagement.
    engagement: Option<String>,
    /// This kind of source.
    source: Option<SourceType>,
    /// Published (articles) or handed in (documents) at this time or later.
    published_after: Option<DateTime<Utc>>,
    /// One of these documents; at most 1,000.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    document_ids: Vec<DocumentId>,
}

/// A kind of source.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceType {
    /// A file.
    Upload,
    /// A text.
    Text,
    /// An address.
    Url,
    /// A feed's article.
    Feed,
}

impl SourceType {
    const fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Text => "text",
            Self::Url => "url",
            Self::Feed => "feed",
        }
    }
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchBody {
    /// Passages: first the best one of each document, best first, then further ones of the same documents.
    pub results: Vec<ResultBody>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The model that put the results in order, where one was asked to.
    pub reranked_by: Option<String>,
}

/// A passage that was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResultBody {
    /// The passage.
    #[schema(value_type = String)]
    pub chunk_id: ChunkId,
    /// The document it is of.
    #[schema(value_type = String)]
    pub document_id: DocumentId,
    /// The article whose text the document is, where it is one's.
    #[schema(value_type = Option<String>)]
    pub article_id: Option<ArticleId>,
    /// The document's title.
    pub title: Option<String>,
    /// The passage's text.
    pub text: String,
    /// Where in `text` words of the query stand.
    pub highlights: Vec<Range>,
    /// The headings it stands under, outermost first.
    pub heading_path: Vec<String>,
    /// The page it begins on.
    pub page: Option<i32>,
    /// The sum of weight / (60 + rank) over the lists it was found in, or what the reranker gave it. Compares results of one
    /// search, not of several.
    pub score: f64,
}

/// Find passages of documents and articles.
///
/// By words is BM25: passages with more and rarer words of the query come first; phrases in quotes must be there as they
/// stand, `-not` words must not. By meaning compares embeddings. Hybrid joins both.
#[utoipa::path(post, path = "/v1/search", tag = "Search", request_body = SearchRequest,
    responses((status = 200, description = "What was found, best first", body = SearchBody),
              (status = 409, description = "`model-not-configured`: search by meaning cannot be had")))]
pub(crate) async fn search(
    caller: Caller<Read>,
    State(app): State<Shared>,
    body: JsonBody<SearchRequest>,
) -> Result<Json<SearchBody>, ApiError> {
    let started = Instant::now();
    let (query, mode) = (body.value.query.clone(), body.value.mode);
    let asked = Asked::check(body.value, &app)?;
    let vectors = asked.vectors(&app, caller.org).await?;
    let tx = app.engine.db().org_reading(caller.org).await?;
    let mut ranked = asked.ranked(&tx, vectors.as_ref()).await?;
    let (tx, reranked_by) = match asked.reranker.clone() {
        Some(reranker) => {
            (asked.rerank(&app, tx, reranker.as_ref(), &mut ranked).await?, Some(reranker.model().to_owned()))
        }
        None => (tx, None),
    };
    let results = asked.shown(&tx, in_order(ranked)).await?;
    tx.commit().await?;
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    // A search that was answered is not undone by its history.
    if let Err(error) = keep(&app, caller.org, &query, mode, results.len(), took_ms).await {
        tracing::warn!(%error, "a search could not be kept in the history");
    }
    Ok(Json(SearchBody { results, took_ms, reranked_by }))
}

async fn keep(app: &Shared, org: OrgId, query: &str, mode: Mode, hits: usize, took_ms: u64) -> Result<(), StoreError> {
    let tx = app.engine.db().org(org).await?;
    search_history::keep(&tx, query, mode.name(), hits, took_ms).await?;
    tx.commit().await
}

/// A search that makes sense.
struct Asked {
    query: String,
    mode: Mode,
    limit: usize,
    filters: Filters,
    weights: Option<Weights>,
    reranker: Option<std::sync::Arc<dyn Reranker>>,
}

/// What search by meaning needs.
struct Vectors {
    space: Space,
    embedding: Vec<f32>,
    /// What the model's ranking counts.
    weight: f64,
}

impl Asked {
    fn check(request: SearchRequest, app: &Shared) -> Result<Self, ApiError> {
        let SearchRequest { query, mode, limit, filters, weights, rerank } = request;
        let limit = limit.unwrap_or(10);
        if !(1..=MOST).contains(&limit) {
            return Err(ApiError::field("/limit", format!("is 1 to {MOST}")));
        }
        if query.trim().is_empty() {
            return Err(ApiError::field("/query", "has at least one word"));
        }
        params::length("/query", Some(&query), 2_000)?;
        if let Some(Weights { keyword, semantic }) = weights {
            for (pointer, weight) in [("/weights/keyword", keyword), ("/weights/semantic", semantic)] {
                if !(0.0..=10.0).contains(&weight) {
                    return Err(ApiError::field(pointer, "is 0 to 10"));
                }
            }
        }
        let reranker = rerank.then(|| app.reranker.clone());
        if let Some(None) = reranker {
            return Err(ApiError::field("/rerank", "no reranking model is configured"));
        }
        Ok(Self { query, mode, limit, filters: filters.check()?, weights, reranker: reranker.flatten() })
    }

    /// The query's vector in the organization's space; the model is asked while no connection is held. `None` where there
    /// is nothing to compare it with, or words alone will have to do.
    async fn vectors(&self, app: &Shared, org: OrgId) -> Result<Option<Vectors>, ApiError> {
        if self.mode == Mode::Keyword {
            return Ok(None);
        }
        let tx = app.engine.db().org_reading(org).await?;
        let space = spaces::current(&tx).await?;
        tx.commit().await?;
        let Some(space) = space else { return Ok(None) };
        let Some(embedder) = app.embedders.get(&space.model) else {
            return match self.mode {
                Mode::Semantic => Err(ApiError::ModelNotConfigured(space.model)),
                _ => Ok(None),
            };
        };
        let embedding = embed(embedder.as_ref(), &self.query).await?;
        Ok(Some(Vectors { space, embedding, weight: embedder.weight() }))
    }

    /// What each way finds, joined.
    async fn ranked(&self, tx: &OrgTx, vectors: Option<&Vectors>) -> Result<Vec<Ranked>, ApiError> {
        let depth = (self.limit * 5).max(50);
        let narrowed = self.filters.narrow(tx).await?;
        let mut lists: Vec<(f64, Vec<Found>)> = Vec::with_capacity(2);
        if self.mode != Mode::Semantic {
            let found = search::by_words(tx, &self.query, &self.filters, &narrowed, depth).await?;
            lists.push((self.weights.map_or(1.0, |weights| weights.keyword), found));
        }
        if let Some(Vectors { space, embedding, weight }) = vectors {
            let found = search::by_meaning(tx, space, embedding, &self.filters, &narrowed, depth).await?;
            lists.push((self.weights.map_or(*weight, |weights| weights.semantic), found));
        }
        if self.mode != Mode::Hybrid {
            // A list alone is its own measure.
            lists.iter_mut().for_each(|(weight, _)| *weight = 1.0);
        }
        Ok(fuse(&lists))
    }

    /// Lets `reranker` put the best in order, while no connection is held.
    async fn rerank(
        &self,
        app: &Shared,
        tx: OrgTx,
        reranker: &dyn Reranker,
        ranked: &mut Vec<Ranked>,
    ) -> Result<OrgTx, ApiError> {
        ranked.truncate(self.limit.max(RERANKED));
        let ids: Vec<ChunkId> = ranked.iter().map(|ranked| ranked.id).collect();
        let org = tx.org();
        let mut texts: HashMap<ChunkId, String> = search::texts(&tx, &ids).await?.into_iter().collect();
        tx.commit().await?;
        ranked.retain(|ranked| texts.contains_key(&ranked.id));
        let texts: Vec<String> = ranked.iter().filter_map(|ranked| texts.remove(&ranked.id)).collect();
        let scores = reranker.rerank(&self.query, &texts).await?;
        if scores.len() != texts.len() {
            let (expected, found) = (format!("{} scores", texts.len()), format!("{} scores", scores.len()));
            return Err(AiError::Unexpected { model: reranker.model().to_owned(), expected, found }.into());
        }
        for (ranked, score) in ranked.iter_mut().zip(scores) {
            ranked.score = f64::from(score);
        }
        ranked.sort_by(|one, other| other.score.total_cmp(&one.score));
        Ok(app.engine.db().org_reading(org).await?)
    }

    /// What is shown. Marking words is dear: only what is shown is marked.
    async fn shown(&self, tx: &OrgTx, mut ranked: Vec<Ranked>) -> Result<Vec<ResultBody>, ApiError> {
        ranked.truncate(self.limit);
        let ids: Vec<ChunkId> = ranked.iter().map(|ranked| ranked.id).collect();
        let hits = search::hits(tx, &self.query, &ids).await?;
        let mut hits: HashMap<ChunkId, Hit> = hits.into_iter().map(|hit| (hit.chunk_id, hit)).collect();
        Ok(ranked.into_iter().filter_map(|ranked| Some(shown(hits.remove(&ranked.id)?, ranked.score))).collect())
    }
}

async fn embed(embedder: &dyn Embedder, query: &str) -> Result<Vec<f32>, ApiError> {
    let vectors = embedder.embed(&[query.to_owned()]).await?;
    vectors.into_iter().next().ok_or_else(|| {
        let model = embedder.model().to_owned();
        AiError::Unexpected { model, expected: "1 vector".to_owned(), found: "none".to_owned() }.into()
    })
}

impl SearchFilters {
    fn check(self) -> Result<Filters, ApiError> {
        params::labels("/filters/tags", &self.tags)?;
        if self.document_ids.len() > MOST_DOCUMENTS {
            return Err(ApiError::field("/filters/document_ids", format!("has at most {MOST_DOCUMENTS} ids")));
        }
        Ok(Filters {
            tags: self.tags,
            category: self.category,
            engagement: self.engagement,
            source: self.source.map(|source| source.name().to_owned()),
            published_after: params::plausible("/filters/published_after", self.published_after)?,
            document_ids: self.document_ids,
        })
    }
}

fn shown(hit: Hit, score: f64) -> ResultBody {
    let highlights = highlights(&hit.text, &hit.marked);
    ResultBody {
        chunk_id: hit.chunk_id,
        document_id: hit.document_id,
        article_id: hit.article_id,
        title: hit.title,
        text: hit.text,
        highlights,
        heading_path: hit.heading_path,
        page: hit.page,
        score,
    }
}
