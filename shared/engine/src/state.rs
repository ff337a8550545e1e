//! The states of a job and the moves between them: one table, and what it does not list does not happen. Postgres refuses
//! it too, by the trigger `job_may_not_move`.

use std::{fmt, str::FromStr};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Jobs that it is to follow have not succeeded yet.
    Waiting,
    /// Its time has not come, be it a delay that was asked for or a pause before the next attempt.
    Scheduled,
    /// It may run as soon as a slot is free.
    Queued,
    /// A worker runs it.
    Running,
    /// It did what it should.
    Succeeded,
    /// It gave up: attempts used up, or an error that trying again cannot mend.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

/// What moves a job from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// Every job that it is to follow succeeded; its time may still be to come.
    Release,
    /// The same, and its time has come.
    ReleaseNow,
    /// Its time has come.
    Due,
    /// Somebody wants it now.
    Promote,
    /// A worker takes it.
    Claim,
    /// It returned a value.
    Succeed,
    /// It failed and may be tried again later, or asked to be left alone for a while.
    Postpone,
    /// It failed for good.
    Fail,
    /// It is called off.
    Cancel,
    /// Its worker gives it back, or died.
    GiveBack,
    /// Somebody wants a job that is over to run once more.
    Retry,
    /// A job that dragged it down is run once more.
    Revive,
}

impl Move {
    /// Every move.
    pub const ALL: [Self; 12] = [
        Self::Release,
        Self::ReleaseNow,
        Self::Due,
        Self::Promote,
        Self::Claim,
        Self::Succeed,
        Self::Postpone,
        Self::Fail,
        Self::Cancel,
        Self::GiveBack,
        Self::Retry,
        Self::Revive,
    ];
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Waiting, Self::Scheduled, Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Its name in the database and over HTTP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// True once nothing more happens by itself.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Where `by` leads from here; `None` where it is not allowed.
    pub const fn after(self, by: Move) -> Option<Self> {
        Some(match (self, by) {
            (Self::Waiting, Move::Release) => Self::Scheduled,
            (Self::Waiting, Move::ReleaseNow) => Self::Queued,
            (Self::Scheduled, Move::Due | Move::Promote) => Self::Queued,
            (Self::Queued, Move::Claim) => Self::Running,
            (Self::Running, Move::Succeed) => Self::Succeeded,
            (Self::Running, Move::Postpone) => Self::Scheduled,
            (Self::Running, Move::Fail) => Self::Failed,
            (Self::Running, Move::GiveBack) => Self::Queued,
            (Self::Waiting | Self::Scheduled | Self::Queued | Self::Running, Move::Cancel) => Self::Cancelled,
            (Self::Failed | Self::Cancelled, Move::Retry) => Self::Queued,
            (Self::Cancelled, Move::Revive) => Self::Waiting,
            _ => return None,
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no state has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no job state \"{0}\"; the states are waiting, scheduled, queued, running, succeeded, failed and cancelled"
)]
pub struct UnknownState(pub String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Move, State};

    #[test]
    fn what_is_over_moves_only_when_somebody_retries_it() {
        for state in State::ALL.into_iter().filter(|state| state.is_over()) {
            let out: Vec<_> = Move::ALL.into_iter().filter(|by| state.after(*by).is_some()).collect();
            let expected = match state {
                State::Succeeded => vec![],
                State::Cancelled => vec![Move::Retry, Move::Revive],
                _ => vec![Move::Retry],
            };
            assert_eq!(out, expected, "{state}");
        }
    }

    #[test]
    fn only_a_queued_job_is_claimed_and_only_a_running_one_succeeds() {
        for state in State::ALL {
            assert_eq!(state.after(Move::Claim).is_some(), state == State::Queued);
            assert_eq!(state.after(Move::Succeed).is_some(), state == State::Running);
        }
    }

    #[test]
    fn names_are_read_back() {
        for state in State::ALL {
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert!("lost".parse::<State>().is_err());
    }
}
