//! Real processes are killed, stopped and cut off from their stores at random, while they work.

use std::time::Duration;

use gristmill_tests::faults::{Run, schedule::Climate};

/// Twice what is promised: a test machine has other tests to run.
const STALL: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_dies_no_job_is_lost_and_no_effect_comes_twice() {
    let run =
        Run { seed: 1, climate: Climate::short(), rate: 40, settings: Vec::new(), stall: STALL, keep_logs: false };
    let report = run.go(|happens| println!("{happens}")).await;
    println!("{report}");
    assert!(report.is_good(STALL), "{report}");
    // Otherwise the faults struck nobody, and nothing was shown.
    let struck = report.worker_died > 0 && report.killed > 2 && report.recoveries > 0;
    assert!(struck && report.jobs > 100 && report.able_s > 10.0, "{report}");
}
