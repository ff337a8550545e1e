//! What can go wrong in the store.

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

/// The store's results.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A query failed.
#[derive(Debug, thiserror::Error)]
#[error("the database refused or could not be reached: {0}")]
pub struct StoreError(#[from] DbErr);

impl StoreError {
    /// Something that must be there is not.
    pub fn missing(what: &str) -> Self {
        Self(DbErr::RecordNotFound(format!("{what} is missing")))
    }

    /// True where a unique index refused the row.
    pub fn is_conflict(&self) -> bool {
        matches!(self.0.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
    }

    /// True where the database could not be asked at all, so that asking again later may work.
    pub fn is_unavailable(&self) -> bool {
        match &self.0 {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
            DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => match &**error {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => true,
                // Class 08: connection exceptions; class 57: the operator shut the server down.
                sqlx::Error::Database(error) => {
                    error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
                }
                _ => false,
            },
            _ => false,
        }
    }
}
