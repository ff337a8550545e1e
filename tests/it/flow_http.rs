//! Jobs that have to do with one another, and what holds jobs back: over HTTP, as callers and operators meet it.

mod batches;
mod bulk;
mod holding;
mod watching;

use gristmill_tests::{
    site::{Answer, Client, Parts, Site, eventually},
    world::Travel,
};
use reqwest::Method;
use serde_json::{Value as Json, json};

const TEXT: &str = "The mill loses compressed air. A survey found sixty-three leaks. Repairing them costs little.";

fn summary() -> Json {
    json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "text": TEXT } } })
}

/// Fails at its only attempt: there is no such document.
fn failing() -> Json {
    json!({ "kind": "analysis.run", "max_attempts": 1,
            "args": { "task": "summary", "input": { "document_id": "doc_01h455vb4pex5vsknk084sn02q" } } })
}

/// A job with more said of it.
fn with(job: Json, more: Json) -> Json {
    let (Json::Object(mut body), Json::Object(more)) = (job, more) else { panic!("a job is an object") };
    body.extend(more);
    Json::Object(body)
}

async fn submit(client: &Client, body: Json) -> String {
    client.post("/v1/jobs", &body).await.is(202).id()
}

async fn job(client: &Client, id: &str) -> Json {
    client.get(&format!("/v1/jobs/{id}")).await.is(200).json
}

async fn in_state(client: &Client, id: &str, state: &str) -> Json {
    client.until(&format!("/v1/jobs/{id}"), |job| job["state"] == state).await
}

async fn waits_for(client: &Client, id: &str, code: &str) -> Json {
    let job = client.until(&format!("/v1/jobs/{id}"), |job| job["waiting_for"]["code"] == code).await;
    assert!(job["waiting_for"]["detail"].as_str().is_some_and(|text| text.ends_with('.')), "{job}");
    job["waiting_for"].clone()
}

async fn put(client: &Client, path: &str, body: &Json) -> Answer {
    Answer::to(client.request(Method::PUT, path).json(body)).await
}

async fn quiet() -> Site {
    Site::with(Travel::Memory, Parts::NoWorker, &[]).await
}

fn ids(answer: &Answer) -> Vec<Option<String>> {
    answer.json["job_ids"].as_array().unwrap().iter().map(|id| id.as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn of_jobs_with_a_unique_key_one_stands_for_all() {
    let site = quiet().await;
    let unique =
        |on_conflict: &str| json!({ "unique": { "key": "daily", "while": "running", "on_conflict": on_conflict } });
    let first = site.admin.post("/v1/jobs", &with(summary(), unique("ignore"))).await.is(202);
    assert_eq!(first.json["unique_key"], "daily");
    let same = site.admin.post("/v1/jobs", &with(summary(), unique("ignore"))).await.is(200);
    assert_eq!((same.id(), same.header("location")), (first.id(), first.header("location")));
    let refused = site.admin.post("/v1/jobs", &with(summary(), unique("reject"))).await;
    assert_eq!(refused.problem(409, "duplicate-job")["job_id"], first.id());
    let other = with(with(summary(), unique("replace")), json!({ "priority": 1, "tags": ["new"] }));
    let replaced = site.admin.post("/v1/jobs", &other).await.is(200);
    assert_eq!(
        (replaced.id(), &replaced.json["priority"], &replaced.json["tags"]),
        (first.id(), &json!(1), &json!(["new"]))
    );
    assert_eq!(site.admin.list("/v1/jobs").await.len(), 1);
    // Another organization's key is another key.
    let stranger = site.organization("stranger", &["admin"]).await;
    assert_ne!(submit(&stranger, with(summary(), unique("reject"))).await, first.id());
    // Once it is over the key is free, and an old job that wants to run again finds it taken.
    site.admin.act(&format!("/v1/jobs/{}:cancel", first.id())).await.is(200);
    let second = submit(&site.admin, with(summary(), unique("reject"))).await;
    site.admin.act(&format!("/v1/jobs/{}:retry", first.id())).await.problem(409, "duplicate-job");
    site.admin.act(&format!("/v1/jobs/{second}:cancel")).await.is(200);
    site.admin.act(&format!("/v1/jobs/{}:retry", first.id())).await.is(202);
}

#[tokio::test]
async fn a_job_follows_others_and_says_for_whom_it_waits() {
    let site = quiet().await;
    let (one, two) = (submit(&site.admin, summary()).await, submit(&site.admin, summary()).await);
    let last = submit(&site.admin, with(summary(), json!({ "after": [one, two] }))).await;
    let told = job(&site.admin, &last).await;
    assert_eq!((&told["state"], &told["waiting_for"]["code"]), (&json!("waiting"), &json!("dependency")));
    for id in [&one, &two] {
        assert!(told["after"].as_array().unwrap().contains(&json!(id)), "{told}");
        assert!(told["waiting_for"]["detail"].as_str().unwrap().contains(id), "{told}");
    }
    assert_eq!(site.admin.list("/v1/jobs?state=waiting").await.len(), 1);
    site.work().await;
    let done = in_state(&site.admin, &last, "succeeded").await;
    for id in [one, two] {
        let before = job(&site.admin, &id).await;
        assert!(before["finished_at"].as_str().unwrap() <= done["started_at"].as_str().unwrap(), "{before} {done}");
        // What succeeded already need not be waited for.
        let after = submit(&site.admin, with(summary(), json!({ "after": [id] }))).await;
        in_state(&site.admin, &after, "succeeded").await;
    }
}

#[tokio::test]
async fn whoever_follows_a_job_falls_with_it_and_rises_with_it() {
    let site = quiet().await;
    let first = submit(&site.admin, summary()).await;
    let second = submit(&site.admin, with(summary(), json!({ "after": [first] }))).await;
    let third = submit(&site.admin, with(summary(), json!({ "after": [second] }))).await;
    site.admin.act(&format!("/v1/jobs/{first}:cancel")).await.is(200);
    for id in [&second, &third] {
        let fallen = in_state(&site.admin, id, "cancelled").await;
        assert_eq!(fallen["error"]["code"], "dependency-failed", "{fallen}");
    }
    // What is over and did not succeed cannot be followed.
    let late = with(summary(), json!({ "after": [first] }));
    site.admin.post("/v1/jobs", &late).await.problem_at(422, "invalid-dependency", "/after");
    site.admin.act(&format!("/v1/jobs/{first}:retry")).await.is(202);
    for id in [&second, &third] {
        in_state(&site.admin, id, "waiting").await;
    }
    site.work().await;
    in_state(&site.admin, &third, "succeeded").await;
    let names = site.admin.list(&format!("/v1/jobs/{second}/events")).await;
    let names: Vec<_> = names.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["created", "cancelled", "revived", "released", "started", "succeeded"]);
}

#[tokio::test]
async fn what_is_to_follow_an_end_follows_it() {
    let site = Site::start(Travel::Memory).await;
    let follow_ups = json!({ "on_success": with(summary(), json!({ "tags": ["good"] })),
                             "on_failure": with(summary(), json!({ "tags": ["bad"], "priority": 2, "queue": "io" })) });
    for (body, tag, other) in [(summary(), "good", "bad"), (failing(), "bad", "good")] {
        let client = site.organization(tag, &["admin"]).await;
        let id = submit(&client, with(body, follow_ups.clone())).await;
        let found = client.until(&format!("/v1/jobs?tag={tag}"), |list| list["data"][0]["state"] == "succeeded").await;
        assert_eq!((&found["data"][0]["subject"], found["data"].as_array().unwrap().len()), (&json!(id), 1));
        assert!(client.list(&format!("/v1/jobs?tag={other}")).await.is_empty());
        if tag == "bad" {
            assert_eq!((&found["data"][0]["queue"], &found["data"][0]["priority"]), (&json!("io"), &json!(2)));
        }
    }
}
