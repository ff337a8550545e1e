//! Finding chunks by words and by meaning.
//!
//! | file | holds |
//! |---|---|
//! | `search/filter.rs` | [`Filters`], and which chunks they leave where those are few |
//! | `search/query.rs` | what a query asks of words: terms, phrases, exclusions |
//! | `search/words.rs` | [`by_words`]: BM25 over postings |
//! | `search/meaning.rs` | [`by_meaning`]: the nearest vectors |

mod filter;
mod meaning;
mod query;
mod words;

use gristmill_core::ids::{ArticleId, ChunkId, DocumentId};
use sea_orm::FromQueryResult;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
};

pub use filter::{Filters, Narrowed};
pub use meaning::by_meaning;
pub use words::by_words;

/// A chunk that was found, and the document it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Found {
    /// The chunk.
    pub id: ChunkId,
    /// The document it is of.
    pub document_id: DocumentId,
}

/// What there is to show of a chunk.
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

/// The texts of `chunks`, each under its headings, in no particular order.
///
/// # Errors
/// When the database cannot be asked.
pub async fn texts(tx: &OrgTx, chunks: &[ChunkId]) -> Result<Vec<(ChunkId, String)>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: ChunkId,
        text: String,
    }
    let ids: Vec<uuid::Uuid> = chunks.iter().map(|id| id.uuid()).collect();
    let statement = "SELECT id, concat_ws(E'\\n\\n', nullif(array_to_string(heading_path, ' › '), ''), text) AS text
        FROM chunks WHERE id = ANY($1) AND org_id = $2";
    let rows: Vec<Row> = tx.all(sql(statement, [ids.into(), tx.org().into()])).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.text)).collect())
}
