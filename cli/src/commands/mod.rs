//! One file per command.

pub mod demo;
pub mod migrate;
pub mod postgres;
pub mod up;
