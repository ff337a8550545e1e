//! What a new installation needs before it can be used: the schema, the kinds of job, an organization and a key.

use std::{
    fs::{OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use gristmill_core::{ids::OrgId, secret::Secret};
use gristmill_process::connect::StartError;
use gristmill_store::{
    Db, StoreError, SystemTx,
    keys::{self, Scope},
    orgs,
};

/// The organization that runs the installation.
pub const ORGANIZATION: &str = "default";

/// Brings the schema up to date and writes down which kinds of job there are.
///
/// # Errors
/// When the database cannot be reached or refuses a change.
pub async fn migrate(url: &Secret) -> Result<(), StartError> {
    let sentence = "The database could not be brought up to date.";
    gristmill_migrations::migrate(url.reveal()).await.map_err(|error| StartError::caused(sentence, error))?;
    let publish = async {
        let db = Db::connect(url, 1).await?;
        let tx = db.system().await?;
        gristmill_worker::jobs::kinds().publish(&tx).await?;
        tx.commit().await?;
        db.close().await
    };
    publish.await.map_err(|error| StartError::caused(sentence, error))
}

/// Makes the organization `default` if there is none, and an admin key for it if it has none; `None` when both are there.
///
/// # Errors
/// When the database cannot be asked.
pub async fn first_key(db: &Db) -> Result<Option<Secret>, StartError> {
    // In one transaction: a process that dies here leaves no organization that nobody has a key to.
    let make = async {
        let tx = db.system().await?;
        let org = default_organization(&tx).await?;
        let key = match keys::has_admin(&tx, org).await? {
            true => None,
            false => Some(keys::create(&tx, org, "first key", &[Scope::Admin]).await?.1),
        };
        tx.commit().await?;
        Ok::<_, StoreError>(key)
    };
    make.await.map_err(|error| StartError::caused("The first organization could not be made.", error))
}

/// The admin key in `file`, if it works here; else a new one, kept there for the owner's eyes only (mode 0600).
///
/// # Errors
/// When the database cannot be asked or the file cannot be written.
pub async fn key_in(file: &Path, db: &Db) -> Result<Secret, StartError> {
    let sentence = "The first API key could not be made.";
    if let Ok(kept) = std::fs::read_to_string(file) {
        let kept = Secret::new(kept.trim());
        if works(db, &kept).await.map_err(|error| StartError::caused(sentence, error))? {
            return Ok(kept);
        }
    }
    let key = match first_key(db).await? {
        Some(key) => key,
        None => another_key(db).await.map_err(|error| StartError::caused(sentence, error))?,
    };
    let cannot = |error| StartError::caused(format!("The API key cannot be kept in {}.", file.display()), error);
    keep(file, &key).map_err(cannot)?;
    Ok(key)
}

async fn works(db: &Db, key: &Secret) -> Result<bool, StoreError> {
    let tx = db.system().await?;
    let found = keys::authenticate(&tx, key.reveal()).await?;
    tx.commit().await?;
    Ok(found.is_some())
}

/// For an installation whose key file is gone: whoever holds the data folder owns it all.
async fn another_key(db: &Db) -> Result<Secret, StoreError> {
    let tx = db.system().await?;
    let org = default_organization(&tx).await?;
    let (_, key) = keys::create(&tx, org, "key of the data folder", &[Scope::Admin]).await?;
    tx.commit().await?;
    Ok(key)
}

async fn default_organization(tx: &SystemTx) -> Result<OrgId, StoreError> {
    let org = match orgs::create(tx, ORGANIZATION).await? {
        Some(made) => Some(made),
        None => orgs::by_name(tx, ORGANIZATION).await?,
    };
    org.map(|org| org.id).ok_or_else(|| StoreError::missing("the organization `default`"))
}

fn keep(file: &Path, key: &Secret) -> std::io::Result<()> {
    let mut kept = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    // One that was there keeps its mode when it is opened.
    kept.set_permissions(Permissions::from_mode(0o600))?;
    writeln!(kept, "{}", key.reveal())
}
