//! Jobs handed in over HTTP, each again and again until it is accepted.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gristmill_core::ids::JobId;
use gristmill_engine::{Job, Queue};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use reqwest::StatusCode;
use serde_json::{Value as Json, json};
use tokio::{sync::Semaphore, task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{
    kinds::{Way, Write},
    town::Town,
};

/// Requests under way at once.
const IN_FLIGHT: usize = 64;
/// How long one may take before it is sent again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause before that.
const AGAIN: Duration = Duration::from_millis(250);

/// A job that the API has accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its number.
    pub n: i64,
    /// How it goes.
    pub way: Way,
    /// Its id.
    pub id: JobId,
}

/// What came of the load.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every accepted job.
    pub accepted: Vec<Accepted>,
    /// Requests that had to be sent again.
    pub repeated: usize,
    /// Answers that nobody should get.
    pub wrong: Vec<String>,
}

/// Hands in `rate` jobs a second until `stop`, then waits until all of them are accepted, at most `grace` longer.
pub async fn load(town: &Town, seed: u64, rate: u32, stop: CancellationToken, grace: Duration) -> Loaded {
    let loaded = Arc::<Mutex<Loaded>>::default();
    let client = Client::new(town);
    let free = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asking = JoinSet::new();
    for n in 0.. {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = async { ticks.tick().await; free.clone().acquire_owned().await } => permit,
        };
        let (client, loaded) = (client.clone(), loaded.clone());
        asking.spawn(async move {
            client.hand_in(some_write(seed, n), &loaded).await;
            drop(permit);
        });
        while asking.try_join_next().is_some() {}
    }
    let all = async { while asking.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        loaded.lock().unwrap().wrong.push("some jobs could not be handed in at all".into());
    }
    asking.shutdown().await;
    std::mem::take(&mut loaded.lock().unwrap())
}

/// The `n`th job by `seed`, and how long it is to wait before it starts, in seconds.
fn some_write(seed: u64, n: i64) -> (Write, u64) {
    let mut dice = StdRng::seed_from_u64(seed ^ n.unsigned_abs().rotate_left(32));
    let way = match dice.random_range(0..100) {
        0..56 => Way::Plain,
        56..60 => Way::Linger,
        60..70 => Way::Follow,
        70..78 => Way::FailFirst,
        78..82 => Way::FailLate,
        82..85 => Way::PanicFirst,
        _ => Way::Value,
    };
    // Most are short; some last longer than a lease of a few seconds. A transaction is not to be held for so long.
    let lasts = way != Way::Linger && dice.random_range(0..100) < 3;
    let ms = if lasts { dice.random_range(2_000..6_000) } else { dice.random_range(0..150) };
    let wait = if dice.random_range(0..100) < 5 { dice.random_range(1..4) } else { 0 };
    let queue = Queue::ALL[dice.random_range(0..Queue::ALL.len())];
    (Write { n, queue, ms, way }, wait)
}

/// Somebody who hands jobs in.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    #[expect(clippy::disallowed_methods, reason = "it talks to a process of this test")]
    fn new(town: &Town) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { http, url: format!("http://{}/v1/jobs", town.api_address), key: town.key.clone() }
    }

    async fn hand_in(&self, (job, delay_s): (Write, u64), loaded: &Mutex<Loaded>) {
        let body = json!({
            "kind": <Write as Job<()>>::KIND, "queue": job.queue, "priority": job.n % 10, "delay_s": delay_s,
            "args": &job,
        });
        let began = Instant::now();
        loop {
            let request = self.http.post(&self.url).bearer_auth(&self.key).json(&body);
            let sent = request.header("Idempotency-Key", format!("write-{}", job.n)).send().await;
            let answer = match sent {
                Ok(response) => (response.status(), response.json::<Json>().await.unwrap_or(Json::Null)),
                Err(_) => (StatusCode::GATEWAY_TIMEOUT, Json::Null),
            };
            match answer {
                (StatusCode::ACCEPTED, job_) if job_["id"].is_string() => {
                    let id = job_["id"].as_str().and_then(|id| id.parse().ok()).expect("a job has an id");
                    loaded.lock().unwrap().accepted.push(Accepted { n: job.n, way: job.way, id });
                    return;
                }
                // The answer broke off, the API or a store is away, or the same request is still under way.
                (status, _) if status.is_success() || status.is_server_error() || status == StatusCode::CONFLICT => {
                    loaded.lock().unwrap().repeated += 1;
                }
                // Until the first worker has told of it nobody knows the kind.
                (StatusCode::UNPROCESSABLE_ENTITY, problem) if is_unknown_kind(&problem) => {}
                (status, body) => {
                    let said = format!("job {} was answered {status} after {:?}: {body}", job.n, began.elapsed());
                    loaded.lock().unwrap().wrong.push(said);
                    return;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn is_unknown_kind(problem: &Json) -> bool {
    problem["type"] == "/problems/unknown-kind"
}
