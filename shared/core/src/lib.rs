//! What every part of Gristmill shares: ids, configuration, the clock, secrets and telemetry.
//!
//! No I/O happens here beyond reading the environment (once, through [`config::Config::read`]) and writing logs.
//!
//! | module | holds |
//! |---|---|
//! | [`ids`] | a newtype per kind of id, written as TypeIDs (`job_01h…`) |
//! | [`config`] | one struct per concern, read once, every problem reported at once |
//! | [`clock`] | the only reading of the wall clock in the process |
//! | [`secret`] | text that never shows itself in `Debug`, logs or errors |
//! | [`telemetry`] | log lines: JSON in production, readable on a terminal |

pub mod clock;
pub mod config;
pub mod ids;
pub mod secret;
pub mod telemetry;
