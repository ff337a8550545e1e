//! `/v1/orgs` and `/v1/keys`: organizations and their API keys.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use gristmill_core::ids::{KeyId, OrgId};
use gristmill_store::{
    keys::{self, Scope},
    orgs::{self, Org},
    search_history,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::Shared,
    auth::{Admin, Caller},
    body::JsonBody,
    idempotency::{Answer, Repeat, once},
    openapi::IdempotencyHeader,
    params::{self, Id},
    problem::ApiError,
};

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrgBody {
    /// Its id.
    #[schema(value_type = String, example = "org_01kahpz9vefv5r5j3s9x2e6d7k")]
    pub id: OrgId,
    /// Its name, unique in the installation.
    pub name: String,
    /// Whether what is searched for is kept; see `/v1/search-history`.
    pub search_history: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<Org> for OrgBody {
    fn from(Org { id, name, search_history, created_at }: Org) -> Self {
        Self { id, name, search_history, created_at }
    }
}

/// An organization to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrgRequest {
    /// Its name, unique in the installation.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// What is to change of an organization; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrgChange {
    /// Whether what is searched for is kept. Forbidding it erases what was kept.
    search_history: Option<bool>,
}

/// A key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What its owner calls it.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What its bearer may do: `read`, `submit`, `operate`, `admin`.
    #[schema(value_type = Vec<String>, example = json!(["submit", "read"]))]
    scopes: Vec<Scope>,
}

/// An API key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeyBody {
    /// Its id, by which it is revoked.
    #[schema(value_type = String, example = "key_01kahpz9vefv5r5j3s9x2e6d7k")]
    pub id: KeyId,
    /// Whose it is.
    #[schema(value_type = String)]
    pub org_id: OrgId,
    /// What its owner calls it.
    pub name: String,
    /// What its bearer may do.
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The key itself, shown this once: it is kept only as a hash. Null where the request is repeated with the same
    /// `Idempotency-Key`; a key whose answer was lost is revoked and another made.
    pub key: Option<String>,
}

/// Make an organization. Needs an admin key of the organization `default`.
#[utoipa::path(post, path = "/v1/orgs", tag = "Organizations", request_body = OrgRequest, params(IdempotencyHeader),
    responses((status = 201, description = "It was made", body = OrgBody),
              (status = 409, description = "The name is taken")))]
pub(crate) async fn create(
    caller: Caller<Admin>,
    State(app): State<Shared>,
    repeat: Repeat,
    body: JsonBody<OrgRequest>,
) -> Result<Response, ApiError> {
    caller.need_installation(&app).await?;
    let name = body.value.name.trim();
    params::length("/name", Some(name), 200)?;
    let tx = app.engine.db().system().await?;
    let done = once(&tx, caller.org, &repeat, repeat.json(&body.bytes), async {
        let org = orgs::create(&tx, name).await?.ok_or_else(|| ApiError::NameTaken(name.to_owned()))?;
        Answer::new(StatusCode::CREATED, &OrgBody::from(org))
    })
    .await?;
    tx.commit().await?;
    Ok(done.into_response())
}

/// Change an organization. Needs an admin key of the same organization, or of the organization `default`.
#[utoipa::path(patch, path = "/v1/orgs/{id}", tag = "Organizations", request_body = OrgChange,
    params(("id" = String, Path, description = "The organization's id")),
    responses((status = 200, description = "As it is now", body = OrgBody)))]
pub(crate) async fn change(
    caller: Caller<Admin>,
    State(app): State<Shared>,
    Id(org): Id<OrgId>,
    body: JsonBody<OrgChange>,
) -> Result<Json<OrgBody>, ApiError> {
    if org != caller.org && !caller.runs_installation(&app).await? {
        return Err(ApiError::NotFound("organization"));
    }
    let OrgChange { search_history } = body.value;
    let tx = app.engine.db().org(org).await?;
    if let Some(allowed) = search_history {
        search_history::allow(&tx, allowed).await?;
    }
    let changed = orgs::own(&tx).await?.ok_or(ApiError::NotFound("organization"))?;
    tx.commit().await?;
    Ok(Json(changed.into()))
}

/// Make an API key. Needs an admin key of the same organization, or of the organization `default`.
#[utoipa::path(post, path = "/v1/orgs/{id}/keys", tag = "Organizations", request_body = KeyRequest,
    params(("id" = String, Path, description = "The organization's id"), IdempotencyHeader),
    responses((status = 201, description = "It was made; `key` is shown this once", body = KeyBody)))]
pub(crate) async fn create_key(
    caller: Caller<Admin>,
    State(app): State<Shared>,
    Id(org): Id<OrgId>,
    repeat: Repeat,
    body: JsonBody<KeyRequest>,
) -> Result<Response, ApiError> {
    if org != caller.org && !caller.runs_installation(&app).await? {
        return Err(ApiError::NotFound("organization"));
    }
    let KeyRequest { name, mut scopes } = body.value;
    params::length("/name", Some(&name), 200)?;
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(ApiError::field("/scopes", "has at least one of read, submit, operate and admin"));
    }
    let tx = app.engine.db().org(org).await?;
    orgs::own(&tx).await?.ok_or(ApiError::NotFound("organization"))?;
    let done = once(&tx, org, &repeat, repeat.json(&body.bytes), async {
        let (key, secret) = keys::create(&tx, org, &name, &scopes).await?;
        let shown = KeyBody {
            id: key.id,
            org_id: key.org_id,
            name: key.name,
            scopes: key.scopes,
            created_at: key.created_at,
            key: Some(secret.reveal().to_owned()),
        };
        // What is kept for repetitions must not hold what is kept nowhere else.
        let kept = Answer::new(StatusCode::CREATED, &KeyBody { key: None, ..shown.clone() })?.body;
        Ok(Answer { body_for_repetitions: Some(kept), ..Answer::new(StatusCode::CREATED, &shown)? })
    })
    .await?;
    tx.commit().await?;
    Ok(done.into_response())
}

/// Revoke an API key for good. Needs an admin key of the same organization, or of the organization `default`.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "Organizations",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 204, description = "It is valid no more")))]
pub(crate) async fn revoke_key(
    caller: Caller<Admin>,
    State(app): State<Shared>,
    Id(id): Id<KeyId>,
) -> Result<StatusCode, ApiError> {
    let mut org = caller.org;
    if caller.runs_installation(&app).await? {
        let tx = app.engine.db().system().await?;
        org = keys::owner(&tx, id).await?.ok_or(ApiError::NotFound("key"))?;
        tx.commit().await?;
    }
    let tx = app.engine.db().org(org).await?;
    if !keys::revoke(&tx, id).await? {
        return Err(ApiError::NotFound("key"));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
