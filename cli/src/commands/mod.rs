//! One file per command.

pub mod demo;
pub mod enqueue;
pub mod extract;
pub mod jobs;
pub mod limits;
pub mod migrate;
pub mod postgres;
pub mod queues;
pub mod up;
