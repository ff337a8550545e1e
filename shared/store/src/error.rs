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
        let no_connection = matches!(self.0, DbErr::ConnectionAcquire(_) | DbErr::Conn(_));
        let pool = matches!(self.driver(), Some(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed));
        no_connection || pool || self.is_broken_connection() || self.is_passing()
    }

    /// True for refusals that depend on what else goes on, not on the statement.
    fn is_passing(&self) -> bool {
        // 40: deadlock and serialisation failures; 53: too many connections, memory, disk; 55P03: a row was held too long;
        // 57014: the statement took too long.
        let classes = ["40", "53", "55P03", "57014"];
        match self.driver() {
            Some(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
            }
            _ => false,
        }
    }

    /// True where a connection broke: the server closed it, restarted, or is out of reach. Another one may work.
    pub(crate) fn is_broken_connection(&self) -> bool {
        match self.driver() {
            Some(sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed) => true,
            // Class 08: connection exceptions; 57P: the operator shut the server down; 25P03: the transaction was idle for
            // too long, which ends its connection.
            Some(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P") || code == "25P03")
            }
            _ => false,
        }
    }

    /// What the driver said, where it is that which failed.
    fn driver(&self) -> Option<&sqlx::Error> {
        match &self.0 {
            DbErr::Conn(RuntimeErr::SqlxError(error))
            | DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
            _ => None,
        }
    }
}
