//! Answers to requests that may be repeated, kept in the transaction of what they did.

use gristmill_core::ids::OrgId;
use sea_orm::FromQueryResult;
use serde_json::Value as Json;

use crate::{
    db::{Tx, sql},
    error::Result,
};

/// How long an answer is kept, in hours.
pub const KEPT_HOURS: i32 = 24;

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub struct Answer {
    /// Its HTTP status.
    pub status: i16,
    /// Its `Location` header.
    pub location: Option<String>,
    /// Its JSON body.
    pub body: Json,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// Nothing: go on, the key is held until this transaction ends.
    Nothing,
    /// Another request with it has not ended yet.
    InFlight,
    /// It came with another request before.
    OtherRequest,
    /// The same request was answered.
    Answered(Answer),
}

/// Looks the key `key` of organization `org` up and holds it until the transaction ends. `fingerprint` tells one
/// request from another.
///
/// # Errors
/// When the database cannot be asked.
pub async fn begin(tx: &impl Tx, org: OrgId, key: &str, fingerprint: &[u8]) -> Result<Known> {
    #[derive(FromQueryResult)]
    struct Held {
        held: bool,
    }
    let lock = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS held";
    let held = tx.one::<Held>(sql(lock, [format!("idempotency {org} {key}").into()])).await?;
    if !held.is_some_and(|row| row.held) {
        return Ok(Known::InFlight);
    }
    #[derive(FromQueryResult)]
    struct Row {
        fingerprint: Vec<u8>,
        status: i16,
        location: Option<String>,
        body: Json,
    }
    let row = tx
        .one::<Row>(sql(
            "SELECT fingerprint, status, location, body FROM idempotency_keys
             WHERE org_id = $1 AND key = $2 AND created_at > now() - make_interval(hours => $3)",
            [org.into(), key.into(), KEPT_HOURS.into()],
        ))
        .await?;
    Ok(match row {
        None => Known::Nothing,
        Some(row) if row.fingerprint != fingerprint => Known::OtherRequest,
        Some(row) => Known::Answered(Answer { status: row.status, location: row.location, body: row.body }),
    })
}

/// Keeps the answer to the request that holds the key `key` of organization `org`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn keep(tx: &impl Tx, org: OrgId, key: &str, fingerprint: &[u8], answer: &Answer) -> Result<()> {
    tx.execute(sql(
        "INSERT INTO idempotency_keys (org_id, key, fingerprint, status, location, body) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (org_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status,
             location = excluded.location, body = excluded.body, created_at = now()",
        [
            org.into(),
            key.into(),
            fingerprint.to_vec().into(),
            answer.status.into(),
            answer.location.clone().into(),
            answer.body.clone().into(),
        ],
    ))
    .await?;
    Ok(())
}
