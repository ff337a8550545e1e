//! The `gristmill` command: everything in one process.
//!
//! | module | holds |
//! |---|---|
//! | [`commands`] | one file per command |
//! | [`installation`] | API, worker and scheduler, put together and running |
//! | [`bootstrap`] | the first organization and its key |
//! | [`postgres`] | a private Postgres for a machine that has none |

pub mod bootstrap;
pub mod commands;
pub mod installation;
pub mod postgres;
