//! Unique jobs: of those with one key, one at a time.
//!
//! The lock is the job's row, by a unique index over the states in which it holds: so no lock outlives its job, and none
//! has to be released.

use gristmill_core::ids::{JobId, OrgId};
use gristmill_store::{
    Result,
    db::{Tx, sql},
};
use sea_orm::FromQueryResult;
use serde::{Deserialize, Serialize};

/// What makes a job the only one of its sort in its organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// What they have in common.
    pub key: String,
    /// For how long.
    pub lasts: While,
    /// What becomes of another one.
    pub on_conflict: OnConflict,
}

/// How long a job keeps others of its key away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum While {
    /// Until it starts for the first time.
    Queued,
    /// Until it is over.
    Running,
    /// Until it succeeded or was cancelled: one that failed has to be retried or cancelled first.
    UntilSuccess,
}

impl While {
    /// Its name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::UntilSuccess => "until_success",
        }
    }
}

/// What becomes of a job when there is one of its sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The existing one stands for it.
    Ignore,
    /// The existing one does what it was to do, if it has not started.
    Replace,
    /// It is refused.
    Reject,
}

impl Unique {
    /// The job that holds the key.
    pub(crate) async fn holder(&self, tx: &impl Tx, org: OrgId) -> Result<Option<JobId>> {
        #[derive(FromQueryResult)]
        struct Row {
            id: JobId,
        }
        let statement = format!("SELECT id FROM jobs WHERE org_id = $1 AND unique_key = $2 AND {}", holds("jobs"));
        Ok(tx.one::<Row>(sql(&statement, [org.into(), self.key.clone().into()])).await?.map(|row| row.id))
    }
}

/// The states in which a job holds its key, in the words of the unique index, which is used for nothing else. `of` names
/// the table.
pub(crate) fn holds(of: &str) -> String {
    format!(
        "{of}.unique_key IS NOT NULL AND (
            ({of}.state IN ('waiting', 'scheduled', 'queued') AND ({of}.fence = 0 OR {of}.unique_while <> 'queued'))
            OR ({of}.state = 'running' AND {of}.unique_while <> 'queued')
            OR ({of}.state = 'failed' AND {of}.unique_while = 'until_success'))"
    )
}
