//! Worker processes are killed, stopped and lied to in the middle of their work.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use gristmill_core::clock;
use gristmill_engine::{Job, Queue};
use gristmill_tests::{
    faults::{
        kinds::{self, Abort, LEDGER, Way, Write},
        link::{Link, Valve},
        process::{Kept, Recipe, Witness, program, send},
        stores::{address, through},
    },
    site::{Parts, Site, eventually},
    world::Travel,
};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::{process::Child, sync::watch};

/// A site without a worker, and what its worker processes are started from.
struct Scene {
    site: Site,
    logs: TempDir,
}

impl Scene {
    /// Leases last three seconds: what dies is noticed soon.
    async fn set() -> Self {
        let site = Site::with(Travel::Redis, Parts::NoWorker, &[("GRISTMILL_LEASE_S", "3")]).await;
        for statement in LEDGER {
            site.sql(statement).await;
        }
        let tx = site.engine.db().system().await.unwrap();
        kinds::kinds().publish(&tx).await.unwrap();
        tx.commit().await.unwrap();
        Self { site, logs: tempfile::tempdir().unwrap() }
    }

    /// A worker process called `name`, to be started.
    fn worker(&self, name: &str) -> Recipe {
        let environment = self.site.environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (program, logs) = (program("gristmill-test-worker"), self.logs.path().to_owned());
        Recipe { name: name.into(), program, arguments: Vec::new(), environment, logs }
    }

    /// The same for one that reaches Postgres through `valve`, and its wire.
    async fn linked(&self, name: &str, valve: &Arc<Valve>) -> (Recipe, Link) {
        let database = self.site.database.reveal();
        let target = watch::channel(address(database)).1;
        let link = Link::open(target, [valve.clone(), Arc::default()]).await.unwrap();
        let mut recipe = self.worker(name);
        recipe.environment.retain(|(name, _)| name != "DATABASE_URL");
        recipe.environment.push(("DATABASE_URL".into(), through(database, link.address())));
        (recipe, link)
    }

    /// Hands in `job`, to start after `delay_s`, and gives its path.
    async fn submit(&self, job: &Write, delay_s: u64) -> String {
        let kind = <Write as Job<()>>::KIND;
        let body = json!({ "kind": kind, "args": job, "queue": job.queue, "delay_s": delay_s });
        format!("/v1/jobs/{}", self.site.admin.post("/v1/jobs", &body).await.is(202).id())
    }

    /// Waits until there are as many rows of `what` as `wanted` says.
    async fn until(&self, what: &str, wanted: impl Fn(i64) -> bool) {
        eventually(what, async || wanted(self.site.count(what).await).then_some(())).await;
    }
}

/// A job that writes after `ms`.
fn write(n: i64, ms: u64, way: Way) -> Write {
    Write { n, queue: Queue::Default, ms, way }
}

/// Whoever needs no telling of what a process does.
struct Nobody;

impl Witness for Nobody {}

#[tokio::test]
async fn what_a_killed_worker_left_is_done_once_by_another() {
    let site = Site::with(Travel::Redis, Parts::NoWorker, &[("GRISTMILL_LEASE_S", "3")]).await;
    for index in 0..40 {
        let text = format!("# Lot {index}\n\n{}", "The sample was sieved, weighed and sealed. ".repeat(400));
        let body = json!({ "source": { "type": "text", "text": text } });
        site.admin.post("/v1/documents", &body).await.is(202);
    }
    let scene = Scene { site, logs: tempfile::tempdir().unwrap() };
    let recipe = |name| Recipe { program: program("worker"), ..scene.worker(name) };
    let site = &scene.site;
    let mut doomed: Child = recipe("doomed").start();
    let pid = doomed.id().unwrap();
    let running = format!("jobs j JOIN workers w ON w.id = j.worker_id WHERE j.state = 'running' AND w.pid = {pid}");
    scene.until(&running, |running| running > 0).await;
    doomed.kill().await.unwrap();
    // Between the look and the kill it may have ended what it ran, and begun another.
    let left = site.count(&running).await;

    let _heir = recipe("heir").start();
    scene.until("jobs WHERE state = 'succeeded'", |done| done == 40).await;
    assert_eq!(site.count("document_versions WHERE status = 'ready'").await, 40);
    assert_eq!(site.count("job_events WHERE type = 'worker_died'").await, left);
    assert_eq!(site.count("jobs WHERE attempt > 1").await, left);
    let twice = "(SELECT document_id, ordinal FROM chunks GROUP BY 1, 2 HAVING count(*) > 1) AS twice";
    assert_eq!(site.count(twice).await, 0);
}

#[tokio::test]
async fn a_worker_that_stood_still_beyond_its_lease_writes_nothing_any_more() {
    let scene = Scene::set().await;
    let mut zombie = scene.worker("zombie").start();
    for n in 0..6 {
        scene.submit(&write(n, 1_500, if n % 2 == 0 { Way::Plain } else { Way::Value }), 0).await;
    }
    scene.until("jobs WHERE state = 'running'", |running| running == 6).await;
    send(&zombie, Signal::STOP);
    let _heir = scene.worker("heir").start();
    scene.until("jobs WHERE state = 'succeeded' AND attempt = 2", |done| done == 6).await;

    let before = scene.site.admin.list("/v1/jobs").await;

    // Asked to end, it first lets end what it believes to be running.
    send(&zombie, Signal::TERM);
    send(&zombie, Signal::CONT);
    assert!(zombie.wait().await.unwrap().success());
    assert_eq!(scene.site.count("ledger").await, 3);
    assert_eq!(scene.site.admin.list("/v1/jobs").await, before);
}

#[tokio::test]
async fn a_worker_that_is_cut_off_and_lost_in_the_middle_of_its_finish_holds_nobody_up() {
    let scene = Scene::set().await;
    let valve = Arc::<Valve>::default();
    let (recipe, _link) = scene.linked("lost", &valve).await;
    let mut lost = recipe.start();
    scene.submit(&write(1, 60_000, Way::Linger), 0).await;
    let midst = "pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'
        AND query LIKE 'INSERT INTO ledger%'";
    scene.until(midst, |lines| lines == 1).await;
    // Nobody tells Postgres that the other end is gone.
    let _frozen = valve.freeze();
    lost.kill().await.unwrap();

    let heir = scene.worker("heir").start();
    scene.until("jobs WHERE state = 'running' AND attempt = 2", |running| running == 1).await;
    drop(heir);
}

#[tokio::test]
async fn a_scheduler_that_is_cut_off_while_it_keeps_others_out_holds_nobody_up() {
    let scene = Scene::set().await;
    let valve = Arc::<Valve>::default();
    let _worker = scene.worker("worker").start();
    let (recipe, _link) = scene.linked("scheduler", &valve).await;
    let _scheduler = Recipe { program: program("scheduler"), ..recipe }.start();
    // Round trips of a tenth of a second: most of the time it is in the middle of something.
    let _slow = valve.slow();
    // One dispatcher looks at a time; the others know by an advisory lock.
    let looks = "pg_stat_activity AS a JOIN pg_locks AS l USING (pid)
        WHERE a.datname = current_database() AND l.locktype = 'advisory' AND l.granted
          AND a.state = 'idle in transaction'";
    let stands_still = format!("{looks} AND a.state_change < clock_timestamp() - interval '300 ms'");
    let mut n = 0;
    let _frozen = eventually("a scheduler that is cut off while it looks", async || {
        scene.submit(&write(n, 0, Way::Plain), 0).await;
        n += 1;
        if scene.site.count(looks).await == 0 {
            return None;
        }
        let frozen = valve.freeze();
        // Only time tells one that stands still from one between two statements.
        tokio::time::sleep(Duration::from_millis(400)).await;
        (scene.site.count(&stands_still).await > 0).then_some(frozen)
    })
    .await;
    for more in n..n + 10 {
        scene.submit(&write(more, 0, Way::Plain), 0).await;
    }
    scene.until("jobs WHERE state = 'succeeded'", |done| done == n + 10).await;
}

#[tokio::test]
async fn a_job_that_kills_its_workers_fails_and_their_other_jobs_end() {
    let scene = Scene::set().await;
    let _kept = ["one", "other"].map(|name| Kept::start(scene.worker(name), 1, Arc::new(Nobody)));
    scene.until("workers", |workers| workers == 2).await;
    // Neither has slots for all of them: both run some.
    for n in 0..12 {
        scene.submit(&write(n, 6_000, Way::Plain), 0).await;
    }
    scene.until("jobs WHERE state = 'running'", |running| running == 12).await;
    let body = json!({ "kind": <Abort as Job<()>>::KIND });
    let abort = format!("/v1/jobs/{}", scene.site.admin.post("/v1/jobs", &body).await.is(202).id());
    for died in 1..=3 {
        scene
            .until(
                "job_events WHERE type = 'worker_died' AND job_id = (SELECT id FROM jobs WHERE kind = 'test.abort')",
                |deaths| deaths >= died,
            )
            .await;
    }
    let aborted = scene.site.admin.until(&abort, |job| job["state"] != "running" && job["state"] != "queued").await;
    assert_eq!((&aborted["state"], &aborted["attempt"]), (&json!("failed"), &json!(3)));
    assert_eq!(aborted["error"]["code"], "worker-died", "{aborted}");
    scene.until("jobs WHERE kind = 'test.write' AND state = 'succeeded'", |done| done == 12).await;
    assert_eq!(scene.site.count("ledger").await, 12);
    assert!(scene.site.count("jobs WHERE kind = 'test.write' AND attempt > 1").await > 0, "it took nobody along");
}

/// The library that lies to a process about the time, which `bin/test` installs.
fn lying_clock() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let library = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.exists());
    library.expect("libfaketime is installed: run the tests by bin/test")
}

/// The time of the first line of a process' log.
async fn told_time(recipe: &Recipe) -> DateTime<Utc> {
    eventually("the worker's first log line", async || {
        let log = recipe.log();
        let line: serde_json::Value = serde_json::from_str(log.lines().next()?).ok()?;
        line["timestamp"].as_str()?.parse().ok()
    })
    .await
}

#[tokio::test]
async fn workers_whose_clocks_are_an_hour_wrong_change_nothing() {
    let scene = Scene::set().await;
    let wrong = |name: &str, by: &str| {
        let mut recipe = scene.worker(name);
        let lie = [
            ("LD_PRELOAD", lying_clock().display().to_string()),
            ("FAKETIME", by.to_owned()),
            // Only the time of day is wrong; what measures durations does not jump on real machines either.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("GRISTMILL_LOG_FORMAT", "json".to_owned()),
        ];
        recipe.environment.extend(lie.map(|(name, value)| (name.to_owned(), value)));
        recipe
    };
    let (ahead, behind) = (wrong("ahead", "+3600"), wrong("behind", "-3600"));
    let _workers = [ahead.start(), behind.start()];
    for (recipe, minutes) in [(&ahead, 60), (&behind, -60)] {
        let off = told_time(recipe).await - clock::now();
        assert!((off.num_minutes() - minutes).abs() <= 1, "the clock of {} is right: {off}", recipe.name);
    }
    scene.until("workers", |workers| workers == 2).await;

    for n in 0..12 {
        // Longer than a lease; and neither worker has slots for all of them.
        scene.submit(&write(n, 4_000, Way::Plain), 0).await;
    }
    scene.until("jobs WHERE state = 'running'", |running| running == 12).await;
    assert_eq!(scene.site.count("(SELECT DISTINCT worker_id FROM jobs WHERE state = 'running') AS busy").await, 2);
    for n in 12..24 {
        let way = [Way::Follow, Way::FailFirst, Way::Value][n % 3];
        scene.submit(&write(i64::try_from(n).unwrap(), 10, way), 2).await;
    }
    // Four follow-ups come to the twenty-four.
    scene.until("jobs WHERE state = 'succeeded'", |done| done == 28).await;
    let site = &scene.site;
    assert_eq!(site.count("ledger").await, 24);
    assert_eq!(site.count("job_events WHERE type = 'worker_died'").await, 0);
    assert_eq!(site.count("jobs WHERE attempt <> CASE args->>'way' WHEN 'fail_first' THEN 2 ELSE 1 END").await, 0);
    assert_eq!(site.count("jobs WHERE started_at < run_at OR run_at < created_at").await, 0);
    let late = Duration::from_secs(20).as_secs();
    assert_eq!(site.count(&format!("jobs WHERE finished_at - created_at > interval '{late} s'")).await, 0);
}
