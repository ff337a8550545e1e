//! At which addresses documents are found, so that the same page handed in twice is seen.
//!
//! A document is *at* the address it was handed in by, at the one that answered after redirects, and at the one that
//! the page calls its canonical. Only the first is the document's identity: pages of a whole site may redirect to its
//! door, or call its front page their canonical, without being the same.

use gristmill_core::ids::{DocumentId, VersionId};
use sea_orm::FromQueryResult;
use serde_json::Value as Json;

use crate::{
    db::{OrgTx, Tx, sql},
    error::Result,
};

/// The address in a document's source, if that is where it comes from. What a fragment names is part of the page.
pub(crate) fn of_source(source: &Json) -> Option<&str> {
    if source.get("type")? != "url" {
        return None;
    }
    source.get("url")?.as_str().map(without_fragment)
}

/// Notes that `document` was handed in by its source's address, if it was.
pub(crate) async fn hand_in(tx: &OrgTx, document: DocumentId, source: &Json) -> Result<()> {
    let Some(address) = of_source(source) else { return Ok(()) };
    tx.execute(sql(
        "INSERT INTO document_addresses (org_id, address, document_id, handed_in)
         VALUES ($1, sha256(convert_to($2, 'UTF8')), $3, true)
         ON CONFLICT (org_id, address, document_id) DO UPDATE SET handed_in = true",
        [tx.org().into(), address.into(), document.into()],
    ))
    .await?;
    Ok(())
}

/// Where a page turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The address that answered, after redirects.
    pub fetched: String,
    /// The address that the page says is its own.
    pub canonical: Option<String>,
}

/// Keeps with the version's source where it was found, and says which other document of the organization is at one of
/// the document's addresses: the first that was made, if there are several.
///
/// # Errors
/// When the database cannot be asked.
pub async fn locate(tx: &OrgTx, document: DocumentId, version: VersionId, found: &Found) -> Result<Option<DocumentId>> {
    #[derive(FromQueryResult)]
    struct Row {
        document_id: DocumentId,
    }
    let Found { fetched, canonical } = found;
    tx.execute(sql(
        "UPDATE document_versions SET source = source
             || jsonb_strip_nulls(jsonb_build_object('fetched_url', $3::text, 'canonical_url', $4::text))
         WHERE id = $1 AND org_id = $2",
        [version.into(), tx.org().into(), fetched.clone().into(), canonical.clone().into()],
    ))
    .await?;
    for address in [Some(fetched), canonical.as_ref()].into_iter().flatten() {
        tx.execute(sql(
            "INSERT INTO document_addresses (org_id, address, document_id, handed_in)
             VALUES ($1, sha256(convert_to($2, 'UTF8')), $3, false) ON CONFLICT DO NOTHING",
            [tx.org().into(), without_fragment(address).into(), document.into()],
        ))
        .await?;
    }
    let other = tx
        .one::<Row>(sql(
            "SELECT other.document_id FROM document_addresses mine
               JOIN document_addresses other ON other.org_id = mine.org_id AND other.address = mine.address
               JOIN documents d ON d.id = other.document_id
              WHERE mine.document_id = $1 AND mine.org_id = $2 AND other.document_id <> $1 AND d.deleted_at IS NULL
              ORDER BY d.created_at, d.id LIMIT 1",
            [document.into(), tx.org().into()],
        ))
        .await?;
    Ok(other.map(|row| row.document_id))
}

fn without_fragment(address: &str) -> &str {
    address.split('#').next().unwrap_or(address)
}
