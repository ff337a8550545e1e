//! What tests stand on: a database each, both deliveries, workers that can be stopped, and jobs made for testing.
//!
//! `bin/test` starts the servers and says where they are.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

pub mod database;
pub mod embedding;
pub mod faults;
pub mod kinds;
pub mod site;
pub mod world;
