//! `/v1/search-history`: what was searched for.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use gristmill_core::ids::SearchId;
use gristmill_store::search_history::{self, Search};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Shared,
    auth::{Admin, Caller, Read},
    params::{self, List, Query},
    problem::ApiError,
};

/// A search that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct PastSearch {
    /// Its id.
    #[schema(value_type = String, example = "srh_01kahpz9vefv5r5j3s9x2e6d7k")]
    pub id: SearchId,
    /// What was typed.
    pub query: String,
    /// How it was searched: `hybrid`, `semantic` or `keyword`.
    #[schema(example = "hybrid")]
    pub mode: String,
    /// How many results it had.
    pub hits: i32,
    /// How long it took, in milliseconds.
    pub took_ms: i32,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl From<Search> for PastSearch {
    fn from(search: Search) -> Self {
        let Search { id, query, mode, hits, took_ms, created_at } = search;
        Self { id, query, mode, hits, took_ms, created_at }
    }
}

/// Which searches are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Rows per page, 1 to 200; 50 if not given.
    limit: Option<u64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List what was searched for, newest first. `PATCH /v1/orgs/{id}` forbids that it is kept.
#[utoipa::path(get, path = "/v1/search-history", tag = "Search", params(HistoryQuery),
    responses((status = 200, description = "A page of searches", body = List<PastSearch>)))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<List<PastSearch>>, ApiError> {
    let page = params::page(query.limit, query.cursor.as_deref())?;
    let tx = app.engine.db().org(caller.org).await?;
    let rows = search_history::list(&tx, page).await?;
    tx.commit().await?;
    Ok(Json(List::of(page, rows, |search| search.id.uuid())))
}

/// Erase what was searched for. Needs the scope admin.
#[utoipa::path(delete, path = "/v1/search-history", tag = "Search",
    responses((status = 204, description = "It is erased")))]
pub(crate) async fn erase(caller: Caller<Admin>, State(app): State<Shared>) -> Result<StatusCode, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    search_history::erase(&tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
