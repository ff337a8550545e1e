//! API keys: random, shown once, kept as a hash.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use gristmill_core::{
    ids::{KeyId, OrgId},
    secret::Secret,
};
use rand::RngCore as _;
use sea_orm::FromQueryResult;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    db::{OrgTx, SystemTx, Tx, sql},
    error::Result,
};

/// What a key's bearer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look at what is there.
    Read,
    /// Hand in work.
    Submit,
    /// Steer work: cancel, retry, pause, delete.
    Operate,
    /// Everything, organizations and keys included.
    Admin,
}

impl Scope {
    const NAMES: [(Self, &'static str); 4] =
        [(Self::Read, "read"), (Self::Submit, "submit"), (Self::Operate, "operate"), (Self::Admin, "admin")];

    /// True if a bearer of `held` may do what needs `self`: `admin` may everything, `operate` may also read,
    /// and otherwise a scope must be held itself.
    pub fn granted_by(self, held: &[Self]) -> bool {
        held.iter().any(|scope| match scope {
            Self::Admin => true,
            Self::Operate => matches!(self, Self::Operate | Self::Read),
            other => *other == self,
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.iter().find(|(scope, _)| scope == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        Self::NAMES.iter().find(|(_, name)| *name == text).map(|(scope, _)| *scope).ok_or(())
    }
}

/// An API key as it is kept: without the key.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub org_id: OrgId,
    /// What its owner calls it.
    pub name: String,
    /// What its bearer may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

#[derive(FromQueryResult)]
struct Row {
    id: KeyId,
    org_id: OrgId,
    name: String,
    scopes: Vec<String>,
    created_at: DateTime<Utc>,
}

impl From<Row> for ApiKey {
    fn from(row: Row) -> Self {
        // A scope of a later version that this one does not know grants nothing here.
        let scopes = row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
        Self { id: row.id, org_id: row.org_id, name: row.name, scopes, created_at: row.created_at }
    }
}

/// Makes a key for the organization `org`. The returned secret is all there will ever be of it.
///
/// # Errors
/// When the database refuses, above all because the organization does not exist.
pub async fn create(tx: &impl Tx, org: OrgId, name: &str, scopes: &[Scope]) -> Result<(ApiKey, Secret)> {
    // 256 bits, so that a plain hash is as hard to invert as the key is to guess.
    let mut random = [0_u8; 32];
    rand::rng().fill_bytes(&mut random);
    let key = format!("gm_{}", URL_SAFE_NO_PAD.encode(random));
    let id = KeyId::generate();
    let names: Vec<String> = scopes.iter().map(Scope::to_string).collect();
    let row = tx
        .one::<Row>(sql(
            "INSERT INTO api_keys (id, org_id, name, scopes, hash) VALUES ($1, $2, $3, $4, $5)
             RETURNING id, org_id, name, scopes, created_at",
            [id.into(), org.into(), name.into(), names.into(), hash(&key).into()],
        ))
        .await?;
    let row = row.ok_or(sea_orm::DbErr::RecordNotInserted)?;
    Ok((row.into(), Secret::new(key)))
}

/// Finds the key that hashes to what `presented` hashes to, if it was not revoked, and notes that it was used.
///
/// The comparison is an index look-up of a hash of 256 random bits: what its timing could tell is a hash's prefix,
/// from which no key can be made.
///
/// # Errors
/// When the database cannot be asked.
pub async fn authenticate(tx: &SystemTx, presented: &str) -> Result<Option<ApiKey>> {
    let row = tx
        .one::<Row>(sql(
            "SELECT id, org_id, name, scopes, created_at FROM api_keys WHERE hash = $1 AND revoked_at IS NULL",
            [hash(presented).into()],
        ))
        .await?;
    if let Some(row) = &row {
        // At most one write a minute for a key in constant use.
        tx.execute(sql(
            "UPDATE api_keys SET last_used_at = now()
             WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')",
            [row.id.into()],
        ))
        .await?;
    }
    Ok(row.map(ApiKey::from))
}

/// True if the organization has an admin key that was not revoked.
///
/// # Errors
/// When the database cannot be asked.
pub async fn has_admin(tx: &SystemTx, org: OrgId) -> Result<bool> {
    let statement = "SELECT id, org_id, name, scopes, created_at FROM api_keys
        WHERE org_id = $1 AND revoked_at IS NULL AND 'admin' = ANY(scopes) LIMIT 1";
    Ok(tx.one::<Row>(sql(statement, [org.into()])).await?.is_some())
}

/// Revokes a key for good. False when the organization has no such key, or it was revoked before.
///
/// # Errors
/// When the database cannot be asked.
pub async fn revoke(tx: &OrgTx, id: KeyId) -> Result<bool> {
    let statement = "UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND org_id = $2 AND revoked_at IS NULL";
    Ok(tx.execute(sql(statement, [id.into(), tx.org().into()])).await? == 1)
}

/// Whose key `id` is; `None` when there is no such key.
///
/// # Errors
/// When the database cannot be asked.
pub async fn owner(tx: &SystemTx, id: KeyId) -> Result<Option<OrgId>> {
    #[derive(FromQueryResult)]
    struct Owner {
        org_id: OrgId,
    }
    let row = tx.one::<Owner>(sql("SELECT org_id FROM api_keys WHERE id = $1", [id.into()])).await?;
    Ok(row.map(|row| row.org_id))
}

fn hash(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::Scope;

    #[test]
    fn scopes_grant_what_they_say() {
        assert!(Scope::Read.granted_by(&[Scope::Operate]) && Scope::Submit.granted_by(&[Scope::Admin]));
        assert!(!Scope::Submit.granted_by(&[Scope::Read]) && !Scope::Read.granted_by(&[Scope::Submit]));
        assert!(!Scope::Admin.granted_by(&[Scope::Operate, Scope::Submit, Scope::Read]));
    }
}
