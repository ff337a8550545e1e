//! The clockwork: what happens because time passes. Any number of schedulers may run.
//!
//! | part | does |
//! |---|---|
//! | the engine's dispatcher, leading | due jobs' ids go to the delivery |
//! | the engine's sweeper | jobs of dead workers and lost messages run again |
//! | [`feeds`] | feeds whose time has come are polled |
//! | [`postings`] | what ingests appended for keyword search is gathered; spaces that have grown are indexed |
//! | the engine's pruner | what was over long enough goes |

pub mod feeds;
pub mod postings;

use std::time::Duration;

use gristmill_core::config::RetentionConfig;
use gristmill_engine::{Engine, dispatch::Pace, prune::Retention};
use tokio_util::sync::CancellationToken;

/// Runs everything that keeps jobs moving until `stop`. `lease` is what workers use.
pub async fn run(engine: &Engine, lease: Duration, stop: CancellationToken) {
    tokio::join!(
        engine.run_dispatcher(Pace::Lead, stop.clone()),
        engine.run_sweeper(lease, stop.clone()),
        feeds::run(engine, stop.clone()),
        postings::run(engine, stop.clone()),
    );
}

/// Removes what was over long enough, until `stop`.
pub async fn run_pruner(engine: &Engine, keep: &RetentionConfig, stop: CancellationToken) {
    let RetentionConfig { succeeded, failed, cancelled } = *keep;
    engine.run_pruner(Retention { succeeded, failed, cancelled }, stop).await;
}
