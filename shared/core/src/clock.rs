//! The only reading of the wall clock in the process.
//!
//! Leases, due times and retention go by the *database's* clock (`now()` in SQL), so a machine whose clock is wrong
//! changes nothing. What is read here is for display, for ids and for ageing things out of memory.

use chrono::{DateTime, Utc};

/// The current time in UTC by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may read the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
