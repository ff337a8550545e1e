//! The `gristmill` command: everything in one process, and commands that talk to it over HTTP.
//!
//! | module | holds |
//! |---|---|
//! | [`commands`] | one file per command |
//! | [`installation`] | API, worker and scheduler, put together and running |
//! | [`bootstrap`] | the first organization and its key |
//! | [`postgres`] | a private Postgres for a machine that has none |
//! | [`remote`] | the API as commands call it |
//! | [`table`] | what commands print for people |

pub mod bootstrap;
pub mod commands;
pub mod installation;
pub mod postgres;
pub mod remote;
pub mod table;
