//! What those who run Gristmill, and those who write front ends for it, rely on.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use gristmill_core::secret::Secret;
use gristmill_tests::{
    database,
    site::{Answer, Client, Parts, Site, eventually},
    world::Travel,
};
use reqwest::Method;
use serde_json::{Value as Json, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
};

/// What the contract has so far.
const CALLS: [&str; 43] = [
    "POST /v1/jobs",
    "GET /v1/jobs",
    "GET /v1/jobs/{id}",
    "GET /v1/jobs/{id}/events",
    "POST /v1/jobs/{id}:cancel",
    "POST /v1/jobs/{id}:retry",
    "POST /v1/jobs/{id}:promote",
    "POST /v1/jobs:batch",
    "DELETE /v1/jobs/{id}",
    "GET /v1/jobs/{id}/steps",
    "GET /v1/batches",
    "GET /v1/batches/{id}",
    "POST /v1/bulk-actions",
    "GET /v1/events",
    "GET /v1/queues",
    "POST /v1/queues/{name}:pause",
    "POST /v1/queues/{name}:resume",
    "GET /v1/task-stats",
    "GET /v1/limits",
    "PUT /v1/limits/{scope}/{name}",
    "DELETE /v1/limits/{scope}/{name}",
    "POST /v1/limits/{scope}/{name}:pause",
    "POST /v1/limits/{scope}/{name}:resume",
    "GET /v1/kinds",
    "POST /v1/documents",
    "GET /v1/documents",
    "GET /v1/documents/{id}",
    "DELETE /v1/documents/{id}",
    "GET /v1/documents/{id}/chunks",
    "GET /v1/documents/{id}/text",
    "GET /v1/documents/{id}/file",
    "POST /v1/search",
    "POST /v1/feeds",
    "GET /v1/feeds",
    "GET /v1/feeds/{id}",
    "DELETE /v1/feeds/{id}",
    "POST /v1/feeds/{id}:poll",
    "GET /v1/articles",
    "GET /v1/articles/{id}",
    "POST /v1/orgs",
    "POST /v1/orgs/{id}/keys",
    "DELETE /v1/keys/{id}",
    "GET /v1/me",
];

fn summary() -> Json {
    json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "text": "One." } } })
}

/// Names of the checks of `/readyz` that are not as they should be.
async fn failing(client: &Client) -> (u16, Vec<String>) {
    let answer = client.get("/readyz").await;
    let checks = answer.json["checks"].as_object().unwrap_or_else(|| panic!("{}", answer.json));
    let failing = checks.iter().filter(|(_, check)| check["ok"] != json!(true)).map(|(name, _)| name.clone());
    (answer.status, failing.collect())
}

on_both! {
    async fn a_site_that_runs_says_that_it_is_ready(travel: Travel) {
        let site = Site::start(travel).await;
        let client = site.admin.without_key();
        client.get("/healthz").await.is(200);
        eventually("readiness", async || {
            (failing(&client).await == (200, Vec::new())).then_some(())
        })
        .await;
        let checks = client.get("/readyz").await.is(200).json["checks"].clone();
        let names: Vec<_> = checks.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["database", "delivery", "files", "migrations", "worker"]);
    }
}

#[tokio::test]
async fn without_its_database_it_lives_and_is_not_ready() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let client = site.admin.without_key();
    assert_eq!(failing(&client).await, (200, Vec::new()));
    let (_, name) = site.database.reveal().rsplit_once('/').unwrap();
    admit(name, false).await;
    let blind = (503, vec!["database".to_owned(), "migrations".to_owned()]);
    eventually("its noticing", async || (failing(&client).await == blind).then_some(())).await;
    client.get("/healthz").await.is(200);
    // Callers are told to come back, and not why.
    let answer = site.admin.get("/v1/jobs").await;
    assert_eq!(answer.problem(503, "unavailable")["retryable"], true);
    assert!(!answer.header("retry-after").is_empty());
    assert!(!String::from_utf8(answer.bytes).unwrap().contains(name));
    // And when they do, it is there again, with nobody's help.
    admit(name, true).await;
    eventually("readiness", async || (failing(&client).await.0 == 200).then_some(())).await;
    site.admin.get("/v1/jobs").await.is(200);
}

/// Lets connections to the database `name` in, or throws out those that there are and lets none in.
async fn admit(name: &str, connections: bool) {
    let mut server = PgConnection::connect(&database::setting("GRISTMILL_TEST_DATABASE_URL")).await.unwrap();
    let alter = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {connections}");
    server.execute(sqlx::AssertSqlSafe(alter)).await.unwrap();
    if !connections {
        let throw_out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        server.execute(sqlx::query(throw_out).bind(name)).await.unwrap();
    }
}

#[tokio::test]
async fn without_its_delivery_it_is_not_ready_and_loses_nothing() {
    let road = Road::to(&database::setting("GRISTMILL_TEST_REDIS_URL")).await;
    let site = Site::with(Travel::Redis, Parts::All, &[("REDIS_URL", road.url.reveal())]).await;
    eventually("readiness", async || (failing(&site.admin).await.0 == 200).then_some(())).await;
    road.open(false);
    let blind = (503, vec!["delivery".to_owned()]);
    eventually("its noticing", async || (failing(&site.admin).await == blind).then_some(())).await;
    // What is accepted meanwhile is kept: the database has it.
    let job = site.admin.post("/v1/jobs", &summary()).await.is(202);
    assert_eq!(site.admin.get(&format!("/v1/jobs/{}", job.id())).await.is(200).json["state"], "queued");
    road.open(true);
    assert_eq!(site.admin.ended(&job.json).await["state"], "succeeded");
    eventually("readiness", async || (failing(&site.admin).await.0 == 200).then_some(())).await;
}

/// A way to a server that can be closed and opened.
struct Road {
    url: Secret,
    open: watch::Sender<bool>,
}

impl Road {
    async fn to(server: &str) -> Self {
        let address = server.trim_start_matches("redis://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Secret::new(format!("redis://{}", listener.local_addr().unwrap()));
        let open = watch::Sender::new(true);
        let watched = open.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (address, mut closed) = (address.clone(), watched.subscribe());
                tokio::spawn(async move {
                    let travelling = async {
                        let mut far = TcpStream::connect(address).await?;
                        tokio::io::copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        biased;
                        _ = closed.wait_for(|open| !open) => {}
                        _ = travelling => {}
                    }
                });
            }
        });
        Self { url, open }
    }

    fn open(&self, open: bool) {
        self.open.send_replace(open);
    }
}

#[tokio::test]
async fn a_site_that_stops_keeps_nobody_waiting() {
    let site = Site::start(Travel::Memory).await;
    let mut later = summary();
    later["delay_s"] = json!(3600);
    let job = site.admin.post("/v1/jobs", &later).await.is(202).id();
    let mut stream = site.admin.follow(&job, None).await;
    assert_eq!(stream.next().await.unwrap().name, "created");
    let (held, asked) = oneshot::channel();
    let waiting = site.admin.request(Method::POST, "/v1/jobs").header("prefer", "wait=30").json(&later);
    tokio::spawn(async move { held.send(Answer::to(waiting).await) });
    eventually("the second job", async || (site.admin.list("/v1/jobs").await.len() == 2).then_some(())).await;
    let began = Instant::now();
    site.stop().await;
    assert_eq!(asked.await.unwrap().is(202).json["state"], "scheduled");
    assert!(stream.next().await.is_none() && began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(TcpStream::connect(site.address()).await.is_err());
}

#[tokio::test]
async fn what_happens_is_measured() {
    let site = Site::start(Travel::Memory).await;
    site.admin.text("The mill grinds wheat on two lines.", json!({})).await;
    let metrics = site.admin.without_key().get("/metrics").await.is(200);
    assert!(metrics.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8(metrics.bytes).unwrap();
    let value = |start: &str| {
        let line = text.lines().find(|line| line.starts_with(start) && !line.starts_with('#'));
        let (_, value) = line.unwrap_or_else(|| panic!("no {start} in {text}")).rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap()
    };
    assert!(value(r#"gristmill_jobs_finished_total{kind="document.ingest",outcome="succeeded"}"#) >= 1.0);
    assert!(value(r#"gristmill_http_requests_total{method="POST",route="/v1/documents",status="202"}"#) >= 1.0);
    assert!(value("gristmill_job_run_seconds_count") >= 1.0);
    // Ids are no labels: a series each would be too many.
    assert!(!text.contains("doc_0") && !text.contains("job_0"), "{text}");
}

#[tokio::test]
async fn the_interface_is_described_as_a_whole() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let described = site.admin.without_key().get("/openapi.json").await.is(200);
    assert!(described.header("content-type").starts_with("application/json"));
    let document = &described.json;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let (mut calls, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap() {
            let name = format!("{} {path}", method.to_uppercase());
            assert!(call["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{name} has no summary");
            assert!(ids.insert(call["operationId"].to_string()), "{name} shares its operationId");
            let responses = call["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{name} has no good end");
            if path.starts_with("/v1/") {
                assert!(responses.contains_key("401"), "{name} does not say that it needs a key");
            }
            let described: Vec<_> =
                call["parameters"].as_array().into_iter().flatten().map(|parameter| &parameter["name"]).collect();
            assert!(!path.contains("{id}") || described.contains(&&json!("id")), "{name} does not describe its id");
            calls.insert(name);
        }
    }
    for call in CALLS {
        assert!(calls.contains(call), "{call} is not described");
    }
    resolves(document, document);
}

/// Every reference leads to something.
fn resolves(json: &Json, document: &Json) {
    match json {
        Json::Object(fields) => {
            if let Some(Json::String(reference)) = fields.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads out"));
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|value| resolves(value, document));
        }
        Json::Array(items) => items.iter().for_each(|item| resolves(item, document)),
        _ => {}
    }
}

#[tokio::test]
async fn the_reference_needs_no_other_host() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let client = site.admin.without_key();
    let page = client.get("/docs").await.is(200);
    assert!(page.header("content-type").starts_with("text/html"));
    let html = String::from_utf8(page.bytes.clone()).unwrap();
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("\"//"), "{html}");
    let mut files = 0;
    for attribute in ["src=\"", "href=\""] {
        for link in html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
            if link.starts_with('#') || link.starts_with("data:") {
                continue;
            }
            let path = if link.starts_with('/') { link.to_owned() } else { format!("/{link}") };
            assert!(!client.get(&path).await.is(200).bytes.is_empty(), "{path}");
            files += 1;
        }
    }
    assert!(files > 0, "{html}");
    // And could not use one if it wanted to.
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("http"), "{policy}");
}
