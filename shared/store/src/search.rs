//! Finding chunks by words and by meaning.

use chrono::{DateTime, Utc};
use gristmill_core::ids::{ArticleId, ChunkId, DocumentId};
use sea_orm::{FromQueryResult, Value};

use crate::{
    chunks::vector_text,
    db::{OrgTx, Tx, sql},
    error::Result,
};

/// What hits must satisfy; what is not set does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// All of these tags.
    pub tags: Vec<String>,
    /// This category.
    pub category: Option<String>,
    /// This engagement.
    pub engagement: Option<String>,
    /// This kind of source: `upload`, `text`, `url` or `feed`.
    pub source: Option<String>,
    /// Published (articles) or handed in (documents) at this time or later.
    pub published_after: Option<DateTime<Utc>>,
}

/// A chunk that was found.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Hit {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// The document it is of.
    pub document_id: DocumentId,
    /// The article whose text that is, if it is one's.
    pub article_id: Option<ArticleId>,
    /// The document's title.
    pub title: Option<String>,
    /// The chunk's text.
    pub text: String,
    /// The same with the words that matched between [`MARK_START`] and [`MARK_END`].
    pub marked: String,
    /// The headings it stands under.
    pub heading_path: Vec<String>,
    /// The page it begins on.
    pub page: Option<i32>,
}

/// What `marked` puts before a word that matched: a private-use character, which no text means anything by.
pub const MARK_START: char = '\u{e000}';
/// What `marked` puts after it.
pub const MARK_END: char = '\u{e001}';

#[derive(FromQueryResult)]
struct Found {
    id: ChunkId,
}

/// The best `limit` chunks by words, best first. Phrases in quotes and `-not` words work; otherwise chunks that have
/// all words come before chunks that have some.
///
/// # Errors
/// When the database cannot be asked.
pub async fn by_words(tx: &OrgTx, query: &str, filters: &Filters, limit: i64) -> Result<Vec<ChunkId>> {
    let configs = text_configs(tx).await?;
    if configs.is_empty() {
        return Ok(Vec::new());
    }
    let mut values: Vec<Value> = vec![tx.org().into(), limit.into(), query.into(), configs.into()];
    let narrow = conditions(filters, &mut values);
    let statement = format!(
        "WITH asked AS MATERIALIZED (
             SELECT config, websearch_to_tsquery(config::regconfig, $3) AS every FROM unnest($4::text[]) AS config),
         words AS MATERIALIZED (
             -- Where nothing is excluded, some of the words are enough to be looked at.
             SELECT config, every, CASE WHEN every::text LIKE '%!%' THEN every
                                        ELSE replace(every::text, ' & ', ' | ')::tsquery END AS some
             FROM asked WHERE numnode(every) > 0)
         SELECT c.id FROM words w JOIN chunks c ON c.text_config = w.config AND c.lexemes @@ w.some
             JOIN documents d ON d.id = c.document_id AND d.current_version_id = c.version_id
             JOIN document_versions v ON v.id = c.version_id LEFT JOIN articles a ON a.document_id = d.id
         WHERE c.org_id = $1 AND d.org_id = $1 AND d.deleted_at IS NULL{narrow}
         ORDER BY (c.lexemes @@ w.every)::int + ts_rank(c.lexemes, w.some, 1) DESC, c.id LIMIT $2"
    );
    Ok(tx.all::<Found>(sql(&statement, values)).await?.into_iter().map(|row| row.id).collect())
}

/// The `limit` chunks whose embedding by `model` is nearest to `embedding`, nearest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn by_meaning(
    tx: &OrgTx,
    model: &str,
    embedding: &[f32],
    filters: &Filters,
    limit: i64,
) -> Result<Vec<ChunkId>> {
    // A filter, or neighbours of other organizations, must not leave fewer hits than there are: the index goes on until
    // it has enough, or has looked at so many that a plain scan would have been as good.
    tx.execute(sql("SET LOCAL hnsw.iterative_scan = 'strict_order'", [])).await?;
    tx.execute(sql("SET LOCAL hnsw.max_scan_tuples = 200000", [])).await?;
    let mut values: Vec<Value> = vec![tx.org().into(), limit.into(), vector_text(embedding).into()];
    let narrow = conditions(filters, &mut values);
    let dimensions = embedding.len();
    // A partial index serves only where the model stands in the statement itself, in a generic plan too.
    let model = model.replace('\'', "''");
    let statement = format!(
        "SELECT c.id FROM embeddings e JOIN chunks c ON c.id = e.chunk_id
             JOIN documents d ON d.id = c.document_id AND d.current_version_id = c.version_id
             JOIN document_versions v ON v.id = c.version_id LEFT JOIN articles a ON a.document_id = d.id
         WHERE e.org_id = $1 AND d.org_id = $1 AND e.model = '{model}' AND d.deleted_at IS NULL{narrow}
         ORDER BY e.embedding::halfvec({dimensions}) <=> $3::text::halfvec({dimensions}) LIMIT $2"
    );
    Ok(tx.all::<Found>(sql(&statement, values)).await?.into_iter().map(|row| row.id).collect())
}

/// Which document each of `chunks` is of, in no particular order.
///
/// # Errors
/// When the database cannot be asked.
pub async fn documents_of(tx: &OrgTx, chunks: &[ChunkId]) -> Result<Vec<(ChunkId, DocumentId)>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: ChunkId,
        document_id: DocumentId,
    }
    let ids: Vec<uuid::Uuid> = chunks.iter().map(|id| id.uuid()).collect();
    let statement = "SELECT id, document_id FROM chunks WHERE id = ANY($1) AND org_id = $2";
    let rows: Vec<Row> = tx.all(sql(statement, [ids.into(), tx.org().into()])).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.document_id)).collect())
}

/// What there is to show of `chunks`, in no particular order, with the words of `query` marked.
///
/// # Errors
/// When the database cannot be asked.
pub async fn hits(tx: &OrgTx, query: &str, chunks: &[ChunkId]) -> Result<Vec<Hit>> {
    let ids: Vec<uuid::Uuid> = chunks.iter().map(|id| id.uuid()).collect();
    let options = format!("HighlightAll=true, StartSel={MARK_START}, StopSel={MARK_END}");
    tx.all(sql(
        "SELECT c.id AS chunk_id, c.document_id, a.id AS article_id, d.title, c.text, c.heading_path, c.page_first AS page,
             ts_headline(c.text_config::regconfig, c.text, websearch_to_tsquery(c.text_config::regconfig, $3), $4) AS marked
         FROM chunks c JOIN documents d ON d.id = c.document_id LEFT JOIN articles a ON a.document_id = d.id
         WHERE c.id = ANY($1) AND c.org_id = $2",
        [ids.into(), tx.org().into(), query.into(), options.into()],
    ))
    .await
}

/// The text search configurations in use, found by hopping through an index instead of reading every chunk.
async fn text_configs(tx: &OrgTx) -> Result<Vec<String>> {
    #[derive(FromQueryResult)]
    struct Row {
        config: String,
    }
    let rows = tx
        .all::<Row>(sql(
            "WITH RECURSIVE found(config) AS (
                 (SELECT min(text_config) FROM chunks WHERE org_id = $1)
                 UNION ALL
                 SELECT (SELECT min(text_config) FROM chunks WHERE org_id = $1 AND text_config > config)
                 FROM found WHERE config IS NOT NULL)
             SELECT config FROM found WHERE config IS NOT NULL",
            [tx.org().into()],
        ))
        .await?;
    Ok(rows.into_iter().map(|row| row.config).collect())
}

fn conditions(filters: &Filters, values: &mut Vec<Value>) -> String {
    let mut narrow = String::new();
    let mut and = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            narrow.push_str(&format!(" AND {}", condition.replace('?', &format!("${}", values.len()))));
        }
    };
    // `@>` on arrays, not on JSON: each element must be there.
    and("d.tags @> ?", (!filters.tags.is_empty()).then(|| filters.tags.clone().into()));
    and("d.category = ?", filters.category.clone().map(Into::into));
    and("d.engagement = ?", filters.engagement.clone().map(Into::into));
    and("v.source ->> 'type' = ?", filters.source.clone().map(Into::into));
    and("coalesce(a.published_at, d.created_at) >= ?", filters.published_after.map(Into::into));
    narrow
}
