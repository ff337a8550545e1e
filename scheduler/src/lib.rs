//! The clockwork: what happens because time passes. Any number of schedulers may run.
//!
//! | part | does |
//! |---|---|
//! | the engine's dispatcher, leading | due jobs' ids go to the delivery |
//! | the engine's sweeper | jobs of dead workers and lost messages run again |
//! | [`feeds`] | feeds whose time has come are polled |

pub mod feeds;

use std::time::Duration;

use gristmill_engine::{Engine, dispatch::Pace};
use tokio_util::sync::CancellationToken;

/// Runs until `stop`. `lease` is what workers use.
pub async fn run(engine: &Engine, lease: Duration, stop: CancellationToken) {
    tokio::join!(
        engine.run_dispatcher(Pace::Lead, stop.clone()),
        engine.run_sweeper(lease, stop.clone()),
        feeds::run(engine, stop.clone()),
    );
}
