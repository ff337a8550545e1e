//! Worker processes are killed in the middle of their work.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use gristmill_tests::{
    site::{Parts, Site, eventually},
    world::Travel,
};
use serde_json::json;

/// A worker process, killed at the latest when the test ends.
struct Worker(Child);

impl Worker {
    fn start(site: &Site) -> Self {
        let mut command = Command::new(program("worker"));
        command.env_clear().envs(site.environment()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Ends it as `kill -9` does.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that was killed before is dead already.
        let _dead = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A program of this workspace, which `bin/test` has built beside the tests.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join(name);
    assert!(program.exists(), "{} is not built: run the tests by bin/test", program.display());
    program
}

#[tokio::test]
async fn what_a_killed_worker_left_is_done_once_by_another() {
    let site = Site::with(Travel::Redis, Parts::NoWorker, &[("GRISTMILL_LEASE_S", "3")]).await;
    for index in 0..40 {
        let text = format!("# Lot {index}\n\n{}", "The sample was sieved, weighed and sealed. ".repeat(400));
        let body = json!({ "source": { "type": "text", "text": text } });
        site.admin.post("/v1/documents", &body).await.is(202);
    }
    let mut doomed = Worker::start(&site);
    let pid = doomed.0.id();
    let running = format!("jobs j JOIN workers w ON w.id = j.worker_id WHERE j.state = 'running' AND w.pid = {pid}");
    eventually("the worker's running a job", async || (site.count(&running).await > 0).then_some(())).await;
    doomed.kill();
    // Between the look and the kill it may have ended what it ran, and begun another.
    let left = site.count(&running).await;

    let _heir = Worker::start(&site);
    let over = "jobs WHERE state = 'succeeded'";
    eventually("the end of all jobs", async || (site.count(over).await == 40).then_some(())).await;
    assert_eq!(site.count("document_versions WHERE status = 'ready'").await, 40);
    assert_eq!(site.count("job_events WHERE type = 'succeeded'").await, 40);
    assert_eq!(site.count("job_events WHERE type = 'worker_died'").await, left);
    assert_eq!(site.count("jobs WHERE attempt > 1").await, left);
    let twice = "(SELECT document_id, ordinal FROM chunks GROUP BY 1, 2 HAVING count(*) > 1) AS twice";
    assert_eq!(site.count(twice).await, 0);
}
