//! When to say that something is away: at once, and then now and then.

use std::time::{Duration, Instant};

/// Between two lines in the log about the same outage.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Something that may be away for long, and is tried several times a second.
#[derive(Debug, Default)]
pub(super) struct Outage {
    told: Option<Instant>,
}

impl Outage {
    /// It is away. Whether to say so this time.
    pub(super) fn goes_on(&mut self) -> bool {
        let tell = self.told.is_none_or(|when| when.elapsed() > TELL_EVERY);
        if tell {
            self.told = Some(Instant::now());
        }
        tell
    }

    /// It is there. Whether it was said that it is not.
    pub(super) fn is_over(&mut self) -> bool {
        self.told.take().is_some()
    }
}
