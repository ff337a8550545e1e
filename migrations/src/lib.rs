//! The database schema: one file per change, forward and back.
//!
//! Changes are written as SQL, because the schema *is* SQL: row-level security, partial indexes, triggers and vector
//! types read best in their own language. Add a file `m<date>_<number>_<what>.rs` and a line in [`Migrator`].

use sea_orm_migration::{
    MigratorTrait,
    prelude::*,
    sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbErr, TransactionTrait},
};

mod m20261121_000001_organizations;
mod m20261121_000002_jobs;
mod m20261121_000003_documents;
mod m20261121_000004_feeds;
mod m20261121_000005_flow;
mod m20261121_000006_search;
mod m20261121_000007_states;
mod m20261121_000010_addresses;
mod tenancy;

/// Every change, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_organizations::Migration),
            Box::new(m20261121_000002_jobs::Migration),
            Box::new(m20261121_000003_documents::Migration),
            Box::new(m20261121_000004_feeds::Migration),
            Box::new(m20261121_000005_flow::Migration),
            Box::new(m20261121_000006_search::Migration),
            Box::new(m20261121_000007_states::Migration),
            Box::new(m20261121_000010_addresses::Migration),
        ]
    }
}

/// An arbitrary number that every migrating process agrees on.
const MIGRATION_LOCK: i64 = 0x6772_6973_746d_696c;

/// Brings the database at `url` up to date. Any number of processes may do so at once: one works, the others wait.
///
/// # Errors
/// What Postgres said, when it cannot be reached or refuses a change. A change that fails leaves nothing behind.
pub async fn migrate(url: &str) -> Result<(), DbErr> {
    let db = connect(url).await?;
    let tx = db.begin().await?;
    tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
    Migrator::up(&tx, None).await?;
    tenancy::admit_application_role(&tx).await?;
    tx.commit().await?;
    db.close().await
}

/// How many changes the database at hand still lacks.
///
/// # Errors
/// What Postgres said.
pub async fn pending(db: &DatabaseConnection) -> Result<usize, DbErr> {
    Ok(Migrator::get_pending_migrations_read_only(db).await?.len())
}

/// How many changes there are.
pub fn changes() -> usize {
    Migrator::migrations().len()
}

/// Takes the last `steps` changes back. For development; it drops tables with what is in them.
///
/// # Errors
/// What Postgres said.
pub async fn revert(url: &str, steps: u32) -> Result<(), DbErr> {
    let db = connect(url).await?;
    Migrator::down(&db, Some(steps)).await?;
    db.close().await
}

async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = sea_orm_migration::sea_orm::ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await
}
