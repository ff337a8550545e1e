//! Why a job that does not run does not.

use gristmill_engine::state::State;
use gristmill_store::{
    OrgTx,
    jobs::{self, Job},
    workers,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::ApiError;

/// Why a job does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitingFor {
    /// A word for it: `scheduled`, `no_worker` or `behind:N`, N being how many of the organization's jobs go first.
    #[schema(example = "behind:3")]
    pub code: String,
    /// The same in a sentence.
    pub detail: String,
}

/// Why `job` does not run, if it waits.
pub(super) async fn waiting_for(tx: &OrgTx, job: &Job) -> Result<Option<WaitingFor>, ApiError> {
    let (code, detail) = match job.state.parse::<State>() {
        Ok(State::Scheduled) if job.attempt > 0 => (
            "scheduled".to_owned(),
            format!("Attempt {} did not end well; the next is due at {}.", job.attempt, job.run_at.to_rfc3339()),
        ),
        Ok(State::Scheduled) => ("scheduled".to_owned(), format!("It is due at {}.", job.run_at.to_rfc3339())),
        Ok(State::Queued) if workers::alive_for(tx, &job.queue).await? == 0 => {
            ("no_worker".to_owned(), format!("No living worker has slots for the queue \"{}\".", job.queue))
        }
        Ok(State::Queued) => behind(jobs::ahead_of(tx, job).await?, &job.queue),
        Ok(State::Running | State::Succeeded | State::Failed | State::Cancelled) | Err(_) => {
            return Ok(None);
        }
    };
    Ok(Some(WaitingFor { code, detail }))
}

fn behind(ahead: i64, queue: &str) -> (String, String) {
    let detail = match ahead {
        0 => "It is next in line.".to_owned(),
        1 => format!("One of your jobs in the queue \"{queue}\" goes first."),
        _ => format!("{ahead} of your jobs in the queue \"{queue}\" go first."),
    };
    (format!("behind:{ahead}"), detail)
}

#[cfg(test)]
mod tests {
    use super::behind;

    #[test]
    fn the_line_is_told_in_words() {
        assert_eq!(behind(0, "ai"), ("behind:0".to_owned(), "It is next in line.".to_owned()));
        assert!(behind(2, "ai").1.starts_with("2 of your jobs"));
    }
}
