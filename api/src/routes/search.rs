//! `/v1/search`: finding passages by words, by meaning, or by both.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use gristmill_core::ids::{ArticleId, ChunkId, DocumentId};
use gristmill_store::search::{self, Filters, Hit, MARK_END, MARK_START};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::Shared,
    auth::{Caller, Read},
    body::JsonBody,
    params,
    problem::ApiError,
};

/// Reciprocal rank fusion's constant: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and
/// individual Rank Learning Methods" (SIGIR 2009).
const K: f64 = 60.0;
/// The most results.
const MOST: usize = 100;

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
    /// The sum of 1 / (60 + rank) over the lists it was found in. Compares results of one search, not of several.
    pub score: f64,
}

/// A range of characters, counted in Unicode scalar values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Range {
    /// The first.
    pub start: usize,
    /// The one after the last.
    pub end: usize,
}

/// Find passages of documents and articles.
#[utoipa::path(post, path = "/v1/search", tag = "Search", request_body = SearchRequest,
    responses((status = 200, description = "What was found, best first", body = SearchBody)))]
pub(crate) async fn search(
    caller: Caller<Read>,
    State(app): State<Shared>,
    body: JsonBody<SearchRequest>,
) -> Result<Json<SearchBody>, ApiError> {
    let started = Instant::now();
    let SearchRequest { query, mode, limit, filters } = body.value;
    let limit = limit.unwrap_or(10);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::field("/limit", format!("is 1 to {MOST}")));
    }
    if query.trim().is_empty() {
        return Err(ApiError::field("/query", "has at least one word"));
    }
    params::length("/query", Some(&query), 2_000)?;
    let filters = filters.check()?;
    // The model is asked before a connection is taken.
    let embedding = match mode {
        Mode::Keyword => None,
        Mode::Hybrid | Mode::Semantic => app.embedder.embed(std::slice::from_ref(&query)).await?.pop(),
    };
    let depth = i64::try_from((limit * 5).max(50)).unwrap_or(i64::MAX);
    let tx = app.engine.db().org(caller.org).await?;
    let mut lists = Vec::with_capacity(2);
    if mode != Mode::Semantic {
        lists.push(search::by_words(&tx, &query, &filters, depth).await?);
    }
    if let Some(embedding) = embedding {
        lists.push(search::by_meaning(&tx, app.embedder.model(), &embedding, &filters, depth).await?);
    }
    let ranked = fuse(&lists);
    let ids: Vec<ChunkId> = ranked.iter().map(|(id, _)| *id).collect();
    let mut ranked = in_order(ranked, search::documents_of(&tx, &ids).await?);
    // Marking words is dear: only what is shown is marked.
    ranked.truncate(limit);
    let ids: Vec<ChunkId> = ranked.iter().map(|(id, _)| *id).collect();
    let mut hits: HashMap<ChunkId, Hit> =
        search::hits(&tx, &query, &ids).await?.into_iter().map(|hit| (hit.chunk_id, hit)).collect();
    tx.commit().await?;
    let results = ranked.into_iter().filter_map(|(id, score)| Some(shown(hits.remove(&id)?, score))).collect();
    Ok(Json(SearchBody { results, took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX) }))
}

impl SearchFilters {
    fn check(self) -> Result<Filters, ApiError> {
        params::labels("/filters/tags", &self.tags)?;
        Ok(Filters {
            tags: self.tags,
            category: self.category,
            engagement: self.engagement,
            source: self.source.map(|source| source.name().to_owned()),
            published_after: params::plausible("/filters/published_after", self.published_after)?,
        })
    }
}

/// Joins ranked lists by reciprocal rank fusion, best first; equals in the order of their ids, so that a search
/// repeated shows the same.
fn fuse(lists: &[Vec<ChunkId>]) -> Vec<(ChunkId, f64)> {
    let mut scores: HashMap<ChunkId, f64> = HashMap::new();
    for list in lists {
        let mut rank = K;
        for id in list {
            rank += 1.0;
            *scores.entry(*id).or_default() += 1.0 / rank;
        }
    }
    let mut ranked: Vec<_> = scores.into_iter().collect();
    ranked.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    ranked
}

/// The same with the best passage of each document first.
fn in_order(ranked: Vec<(ChunkId, f64)>, documents: Vec<(ChunkId, DocumentId)>) -> Vec<(ChunkId, f64)> {
    let documents: HashMap<ChunkId, DocumentId> = documents.into_iter().collect();
    let mut seen = HashSet::new();
    let (mut first, further): (Vec<_>, Vec<_>) =
        ranked.into_iter().partition(|(id, _)| documents.get(id).is_some_and(|document| seen.insert(*document)));
    first.extend(further);
    first
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

/// Where `marked` has marks that `text` has not. None where the two differ in more than that.
fn highlights(text: &str, marked: &str) -> Vec<Range> {
    let (mut ranges, mut open, mut place) = (Vec::new(), None, 0);
    let mut letters = text.chars().peekable();
    for letter in marked.chars() {
        // Walking both at once tells our marks from characters of the text that happen to be the same.
        if letters.peek() == Some(&letter) {
            letters.next();
            place += 1;
        } else if letter == MARK_START {
            open = Some(place);
        } else if letter == MARK_END {
            ranges.extend(open.take().map(|start| Range { start, end: place }));
        } else {
            return Vec::new();
        }
    }
    if letters.next().is_none() { ranges } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::{Range, fuse, highlights, in_order};
    use gristmill_core::ids::{ChunkId, DocumentId};

    #[test]
    fn what_both_lists_have_comes_before_what_one_has() {
        let ids: Vec<ChunkId> = (0..4).map(|_| ChunkId::generate()).collect();
        let ranked = fuse(&[vec![ids[0], ids[1]], vec![ids[2], ids[1]]]);
        assert_eq!(ranked[0].0, ids[1]);
        assert!((ranked[0].1 - 2.0 / 62.0).abs() < 1e-12 && (ranked[1].1 - 1.0 / 61.0).abs() < 1e-12);
        assert_eq!((ranked[1].0, ranked[2].0, ranked.len()), (ids[0], ids[2], 3));
    }

    #[test]
    fn each_document_is_shown_once_before_any_is_shown_twice() {
        let (one, other) = (DocumentId::generate(), DocumentId::generate());
        let documents: Vec<_> = [one, one, other].map(|document| (ChunkId::generate(), document)).to_vec();
        let ids: Vec<ChunkId> = documents.iter().map(|(id, _)| *id).collect();
        let ranked = ids.iter().copied().zip([0.3, 0.2, 0.1]).collect();
        let shown: Vec<_> = in_order(ranked, documents).into_iter().map(|(id, _)| id).collect();
        assert_eq!(shown, [ids[0], ids[2], ids[1]]);
    }

    #[test]
    fn marks_become_ranges_of_characters() {
        assert_eq!(
            highlights("Öl and oil", "\u{e000}Öl\u{e001} and \u{e000}oil\u{e001}"),
            [Range { start: 0, end: 2 }, Range { start: 7, end: 10 }]
        );
        assert_eq!(highlights("a\u{e000}b", "a\u{e000}\u{e000}b\u{e001}"), [Range { start: 2, end: 3 }]);
        assert!(highlights("abc", "\u{e000}a\u{e001}bd").is_empty());
    }
}
