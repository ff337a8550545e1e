//! `/v1/me`: whose key this is.

use axum::{Json, extract::State};
use gristmill_core::ids::{KeyId, OrgId};
use gristmill_store::{keys::Scope, orgs};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::Shared,
    auth::{Anyone, Caller},
    problem::ApiError,
};

/// Whose key a request came with.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeBody {
    /// The organization.
    pub organization: OrganizationName,
    /// The key.
    pub key: KeyName,
    /// What it may do.
    #[schema(value_type = Vec<String>, example = json!(["submit", "read"]))]
    pub scopes: Vec<Scope>,
}

/// An organization's id and name.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationName {
    /// Its id.
    #[schema(value_type = String)]
    pub id: OrgId,
    /// Its name.
    pub name: String,
}

/// A key's id and name.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyName {
    /// Its id.
    #[schema(value_type = String)]
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
}

/// Tell whose key this is and what it may do.
#[utoipa::path(get, path = "/v1/me", tag = "Organizations",
    responses((status = 200, description = "The caller", body = MeBody)))]
pub(crate) async fn show(caller: Caller<Anyone>, State(app): State<Shared>) -> Result<Json<MeBody>, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let org = orgs::own(&tx).await?.ok_or(ApiError::Unauthorized)?;
    tx.commit().await?;
    Ok(Json(MeBody {
        organization: OrganizationName { id: org.id, name: org.name },
        key: KeyName { id: caller.key.id, name: caller.key.name },
        scopes: caller.key.scopes,
    }))
}
