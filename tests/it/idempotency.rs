//! Requests that are sent again because nobody knows whether they arrived.

use std::collections::HashSet;

use futures::future::join_all;
use gristmill_core::ids::OrgId;
use gristmill_store::idempotency;
use gristmill_tests::{
    site::{Answer, Client, Parts, Site, eventually},
    world::Travel,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value as Json, json};

fn job(text: &str) -> Json {
    json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "text": text } } })
}

fn keyed(client: &Client, key: &str, path: &str, body: &Json) -> RequestBuilder {
    client.request(Method::POST, path).header("idempotency-key", key).json(body)
}

async fn send(client: &Client, key: &str, path: &str, body: &Json) -> Answer {
    Answer::to(keyed(client, key, path, body)).await
}

#[track_caller]
fn replays(again: &Answer, first: &Answer) {
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((again.status, &again.json), (first.status, &first.json));
    assert_eq!(again.header("location"), first.header("location"));
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_does_nothing() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    // The address is not fetched: nothing works here.
    let document = json!({ "source": { "type": "url", "url": "https://example.org/a" } });
    let feed = json!({ "url": "https://example.org/feed" });
    let batch = json!({ "jobs": [job("Two."), { "kind": "no.such" }] });
    for (path, body) in
        [("/v1/jobs", job("One.")), ("/v1/jobs:batch", batch), ("/v1/documents", document), ("/v1/feeds", feed)]
    {
        let first = send(&site.admin, path, path, &body).await;
        assert!([201, 202].contains(&first.status) && !first.headers.contains_key("idempotency-replayed"), "{path}");
        let listed = path.trim_end_matches(":batch");
        let list = site.admin.list(listed).await.len();
        replays(&send(&site.admin, path, path, &body).await, &first);
        assert_eq!(site.admin.list(listed).await.len(), list, "{path}");
    }
}

#[tokio::test]
async fn the_answer_stays_what_it_was_whatever_has_become_of_the_job() {
    let site = Site::start(Travel::Memory).await;
    let first = send(&site.admin, "k", "/v1/jobs", &job("One.")).await.is(202);
    site.admin.ended(&first.json).await;
    replays(&send(&site.admin, "k", "/v1/jobs", &job("One.")).await, &first);
}

#[tokio::test]
async fn a_key_is_for_one_request_only() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    send(&site.admin, "k", "/v1/jobs", &job("One.")).await.is(202);
    send(&site.admin, "k", "/v1/jobs", &job("Two.")).await.problem(422, "idempotency-key-reused");
    let elsewhere = json!({ "source": { "type": "text", "text": "One." } });
    send(&site.admin, "k", "/v1/documents", &elsewhere).await.problem(422, "idempotency-key-reused");
    assert_eq!(site.admin.list("/v1/jobs").await.len(), 1);
}

#[tokio::test]
async fn of_many_at_once_one_counts() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let body = json!({ "source": { "type": "url", "url": "https://example.org/a" } });
    let answers = join_all((0..12).map(|_| send(&site.admin, "k", "/v1/documents", &body))).await;
    let fresh =
        answers.iter().filter(|answer| answer.status == 202 && answer.header("idempotency-replayed").is_empty());
    assert_eq!(fresh.count(), 1);
    for answer in &answers {
        if answer.status == 409 {
            answer.problem(409, "idempotency-in-flight");
        } else {
            assert_eq!(answer.status, 202, "{}", answer.json);
        }
    }
    let made: HashSet<_> =
        answers.iter().filter_map(|answer| answer.json["document"]["id"].as_str().map(str::to_owned)).collect();
    assert_eq!((made.len(), site.admin.list("/v1/documents").await.len()), (1, 1));
    assert_eq!(site.admin.list("/v1/jobs").await.len(), 1);
}

#[tokio::test]
async fn while_the_first_is_answered_the_second_is_asked_to_come_back() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let me = site.admin.get("/v1/me").await.is(200).json;
    let org: OrgId = me["organization"]["id"].as_str().unwrap().parse().unwrap();
    // As a request does that holds the key and has not ended.
    let first = site.engine.db().org(org).await.unwrap();
    idempotency::begin(&first, org, "k", b"x").await.unwrap();
    let second = send(&site.admin, "k", "/v1/jobs", &job("One.")).await;
    assert_eq!(second.problem(409, "idempotency-in-flight")["retryable"], true);
    assert!(second.header("retry-after").parse::<u64>().unwrap() >= 1);
    // It failed: nothing was done, and the key is free.
    drop(first);
    eventually("the key's release", async || {
        (send(&site.admin, "k", "/v1/jobs", &job("One.")).await.status == 202).then_some(())
    })
    .await;
    assert_eq!(site.admin.list("/v1/jobs").await.len(), 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_organization() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let other = site.organization("other", &["submit", "read"]).await;
    let first = send(&site.admin, "k", "/v1/jobs", &job("One.")).await.is(202);
    let second = send(&other, "k", "/v1/jobs", &job("Two.")).await.is(202);
    assert!(second.headers.get("idempotency-replayed").is_none() && first.id() != second.id());
    replays(&send(&other, "k", "/v1/jobs", &job("Two.")).await, &second);
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    for wrong in [
        json!({ "kind": "no.such" }),
        json!({ "kind": "analysis.run" }),
        json!({ "kind": "analysis.run", "colour": 1 }),
    ] {
        let refused = send(&site.admin, "k", "/v1/jobs", &wrong).await;
        assert!((400..500).contains(&refused.status), "{}", refused.json);
    }
    let accepted = send(&site.admin, "k", "/v1/jobs", &job("One.")).await.is(202);
    assert!(accepted.headers.get("idempotency-replayed").is_none());
}

#[tokio::test]
async fn an_upload_in_another_form_is_the_same_upload() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let upload = async |bytes: &[u8], meta: &Json| {
        let request = site.admin.uploading("a.txt", "text/plain", bytes, Some(meta));
        Answer::to(request.header("idempotency-key", "k")).await
    };
    let first = upload(b"Wheat is milled.", &json!({ "title": "A", "category": "x" })).await.is(202);
    // Every form has a boundary of its own.
    replays(&upload(b"Wheat is milled.", &json!({ "title": "A", "category": "x" })).await, &first);
    for (bytes, meta) in [
        (&b"Wheat is milled!"[..], json!({ "title": "A", "category": "x" })),
        (b"Wheat is milled.", json!({ "title": "B" })),
    ] {
        upload(bytes, &meta).await.problem(422, "idempotency-key-reused");
    }
    assert_eq!(site.admin.list("/v1/documents").await.len(), 1);
}

#[tokio::test]
async fn a_new_key_is_shown_once_even_to_those_who_ask_again() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let org = send(&site.admin, "org", "/v1/orgs", &json!({ "name": "acme" })).await.is(201);
    replays(&send(&site.admin, "org", "/v1/orgs", &json!({ "name": "acme" })).await, &org);
    let (path, body) = (format!("/v1/orgs/{}/keys", org.id()), json!({ "name": "k", "scopes": ["read"] }));
    let first = send(&site.admin, "key", &path, &body).await.is(201);
    let again = send(&site.admin, "key", &path, &body).await.is(201);
    assert_eq!((again.id(), again.header("idempotency-replayed")), (first.id(), "true"));
    assert!(first.json["key"].is_string() && again.json["key"].is_null(), "{}", again.json);
}

#[tokio::test]
async fn a_key_has_a_length() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    for wrong in ["", &"k".repeat(256)] {
        send(&site.admin, wrong, "/v1/jobs", &job("One.")).await.problem_at(400, "invalid-request", "Idempotency-Key");
    }
    send(&site.admin, &"k".repeat(255), "/v1/jobs", &job("One.")).await.is(202);
}
