//! How long a job that failed waits before it is tried again.

use std::time::Duration;

/// Exponential back-off with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015): a random
/// wait below a ceiling that doubles with every attempt, so that jobs that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling after the first attempt.
    pub first: Duration,
    /// What the ceiling never passes.
    pub most: Duration,
}

impl Backoff {
    /// Two seconds at first, ten minutes at most.
    pub const DEFAULT: Self = Self { first: Duration::from_secs(2), most: Duration::from_secs(600) };

    /// The longest wait after attempt number `attempt` (from 1).
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.checked_pow(attempt.saturating_sub(1)).and_then(|factor| self.first.checked_mul(factor));
        doubled.map_or(self.most, |wait| wait.min(self.most))
    }

    /// A wait after attempt number `attempt`; `random` lies in `0.0..1.0`.
    pub fn wait(&self, attempt: u32, random: f64) -> Duration {
        self.ceiling(attempt).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    #[test]
    fn the_ceiling_doubles_up_to_the_most_and_never_overflows() {
        let ceilings: Vec<u64> = (1..=4).map(|attempt| Backoff::DEFAULT.ceiling(attempt).as_secs()).collect();
        assert_eq!(ceilings, [2, 4, 8, 16]);
        for attempt in [10, 31, 32, 33, u32::MAX] {
            assert_eq!(Backoff::DEFAULT.ceiling(attempt), Duration::from_secs(600));
        }
    }

    #[test]
    fn the_wait_covers_the_whole_range_below_the_ceiling() {
        assert_eq!(Backoff::DEFAULT.wait(3, 0.0), Duration::ZERO);
        assert_eq!(Backoff::DEFAULT.wait(3, 0.5), Duration::from_secs(4));
        assert_eq!(Backoff::DEFAULT.wait(3, 7.0), Duration::from_secs(8));
    }
}
