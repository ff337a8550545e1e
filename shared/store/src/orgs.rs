//! Organizations: the tenants everything belongs to.

use chrono::{DateTime, Utc};
use gristmill_core::ids::OrgId;
use sea_orm::FromQueryResult;

use crate::{
    db::{OrgTx, SystemTx, Tx, sql},
    error::Result,
};

/// An organization.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// Its name, unique in the installation.
    pub name: String,
    /// Whether what is searched for is kept.
    pub search_history: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Makes the organization called `name`; `None` when there is one already.
///
/// # Errors
/// When the database cannot be asked.
pub async fn create(tx: &SystemTx, name: &str) -> Result<Option<Org>> {
    tx.one(sql(
        "INSERT INTO organizations (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING *",
        [OrgId::generate().into(), name.into()],
    ))
    .await
}

/// The organization of this transaction; `None` when it does not exist (any more).
///
/// # Errors
/// When the database cannot be asked.
pub async fn own(tx: &OrgTx) -> Result<Option<Org>> {
    tx.one(sql("SELECT * FROM organizations WHERE id = $1", [tx.org().into()])).await
}

/// The organization called `name`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn by_name(tx: &SystemTx, name: &str) -> Result<Option<Org>> {
    tx.one(sql("SELECT * FROM organizations WHERE name = $1", [name.into()])).await
}
