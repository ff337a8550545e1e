//! Jobs, as callers hand them in, look at them and steer them.

use std::collections::HashSet;

use gristmill_core::ids::WorkerId;
use gristmill_store::workers::{self, Worker};
use gristmill_tests::{
    site::{ALLOWED, Answer, Client, Origin, Parts, Site, eventually},
    world::Travel,
};
use reqwest::Method;
use serde_json::{Value as Json, json};

const STORY: &str = "The mill at Wenbourne loses compressed air. A survey found sixty-three leaks in the mill. \
    The leaks waste two fifths of the compressed air that the mill pays for. Lunch was served at noon. \
    Repairing the leaks costs little and saves the mill a great deal of compressed air.";

/// As far ahead as anybody plans; the API takes ten years.
const FAR_OFF: &str = "2031-01-01T00:00:00Z";

fn summary() -> Json {
    json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "text": STORY }, "options": { "max_sentences": 2 } } })
}

/// A summary, with more said of the job.
fn with(more: Json) -> Json {
    let (Json::Object(mut body), Json::Object(more)) = (summary(), more) else { panic!("a job is an object") };
    body.extend(more);
    Json::Object(body)
}

async fn submit(client: &Client, more: Json) -> String {
    client.post("/v1/jobs", &with(more)).await.is(202).id()
}

async fn waits_for(site: &Site, job: &str) -> Json {
    site.admin.get(&format!("/v1/jobs/{job}")).await.is(200).json["waiting_for"].clone()
}

async fn quiet() -> Site {
    Site::with(Travel::Memory, Parts::NoWorker, &[]).await
}

on_both! {
    async fn a_job_of_any_kind_runs_and_returns_its_result(travel: Travel) {
        let site = Site::start(travel).await;
        let request = site.admin.request(Method::POST, "/v1/jobs").header("prefer", "wait=30");
        let answer = Answer::to(request.json(&summary())).await.is(200);
        let job = &answer.json;
        assert_eq!((&job["state"], &job["attempt"], &job["error"]), (&json!("succeeded"), &json!(1), &Json::Null), "{job}");
        assert_eq!(job["args"], summary()["args"]);
        let letters: Vec<char> = STORY.chars().collect();
        let citations = job["result"]["citations"].as_array().unwrap();
        assert_eq!(citations.len(), 2);
        for citation in citations {
            let at = |end: &str| usize::try_from(citation[end].as_u64().unwrap()).unwrap();
            let slice: String = letters[at("start")..at("end")].iter().collect();
            assert_eq!(citation["text"], slice);
        }
        assert!(job["result"]["output"]["summary"].as_str().unwrap().contains("compressed air"));
        assert_eq!(site.admin.get(answer.header("location")).await.is(200).json, *job);
    }

    async fn a_delayed_job_says_so_and_can_be_run_at_once(travel: Travel) {
        let site = Site::start(travel).await;
        for more in [json!({ "delay_s": 3600 }), json!({ "run_at": FAR_OFF })] {
            let id = submit(&site.admin, more).await;
            let path = format!("/v1/jobs/{id}");
            assert_eq!(site.admin.get(&path).await.is(200).json["state"], "scheduled");
            let waiting = waits_for(&site, &id).await;
            assert!(waiting["code"] == "scheduled" && waiting["detail"].is_string(), "{waiting}");
            site.admin.act(&format!("{path}:promote")).await.is(202);
            let job = site.admin.until(&path, |job| job["state"] == "succeeded").await;
            assert!(job.get("waiting_for").is_none_or(Json::is_null), "{job}");
        }
    }
}

#[tokio::test]
async fn a_job_that_runs_is_called_off_and_whoever_follows_it_sees_so() {
    let site = Site::with(Travel::Memory, Parts::All, &[ALLOWED]).await;
    let origin = Origin::holding("text/plain", "\"1\"", STORY).await;
    origin.open(false);
    let body = json!({ "source": { "type": "url", "url": origin.url } });
    let accepted = site.admin.post("/v1/documents", &body).await.is(202).json;
    let id = accepted["job"]["id"].as_str().unwrap();
    eventually("the fetch", async || (!origin.requests().is_empty()).then_some(())).await;
    let mut stream = site.admin.follow(id, None).await;
    assert_eq!(stream.next().await.unwrap().name, "created");
    assert_eq!(stream.next().await.unwrap().name, "started");
    assert_eq!(site.admin.get(&format!("/v1/jobs/{id}")).await.is(200).json["state"], "running");

    let asked = site.admin.act(&format!("/v1/jobs/{id}:cancel")).await.is(202).json;
    assert!(asked["state"] == "running" && asked["cancel_requested_at"].is_string(), "{asked}");
    let names: Vec<_> =
        stream.rest().await.into_iter().map(|event| event.name).filter(|name| name != "progress").collect();
    assert_eq!(names, ["cancel_requested", "cancelled"]);
    assert_eq!(site.admin.get(&format!("/v1/jobs/{id}")).await.is(200).json["state"], "cancelled");
}

#[tokio::test]
async fn the_history_has_pages_as_every_list_has() {
    let site = Site::start(Travel::Memory).await;
    let id = submit(&site.admin, json!({})).await;
    site.admin.until(&format!("/v1/jobs/{id}"), |job| job["state"] == "succeeded").await;
    let whole = site.admin.list(&format!("/v1/jobs/{id}/events")).await;
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = site.admin.get(&format!("/v1/jobs/{id}/events?limit=1{next}")).await.is(200).json;
        seen.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert!(seen == whole && seen.len() >= 3, "{seen:?}");
}

#[tokio::test]
async fn an_answer_is_held_no_longer_than_was_asked_for() {
    let site = quiet().await;
    let request = site.admin.request(Method::POST, "/v1/jobs").header("prefer", "wait=1");
    let answer = Answer::to(request.json(&with(json!({ "run_at": FAR_OFF })))).await.is(202);
    assert_eq!((&answer.json["state"], &answer.json["run_at"]), (&json!("scheduled"), &json!(FAR_OFF)));
    assert_eq!(answer.header("location"), format!("/v1/jobs/{}", answer.id()));
}

#[tokio::test]
async fn a_job_that_does_not_run_says_why() {
    let site = quiet().await;
    let (first, second) = (submit(&site.admin, json!({})).await, submit(&site.admin, json!({})).await);
    assert_eq!(waits_for(&site, &first).await["code"], "no_worker");
    // A worker that lives, as far as anybody can tell, and does nothing.
    let worker = Worker {
        id: WorkerId::generate(),
        host: "test".into(),
        pid: 1,
        version: "0".into(),
        slots: json!({ "ai": 1 }),
    };
    let tx = site.engine.db().system().await.unwrap();
    workers::seen(&tx, &worker).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(waits_for(&site, &first).await["code"], "behind:0");
    assert_eq!(waits_for(&site, &second).await["code"], "behind:1");
    let urgent = submit(&site.admin, json!({ "priority": 0 })).await;
    assert_eq!(
        (waits_for(&site, &urgent).await["code"].clone(), waits_for(&site, &second).await["code"].clone()),
        (json!("behind:0"), json!("behind:2"))
    );
    site.work().await;
    for job in [first, second, urgent] {
        site.admin.until(&format!("/v1/jobs/{job}"), |job| job["state"] == "succeeded").await;
    }
}

#[tokio::test]
async fn what_cannot_be_done_to_a_job_is_refused_with_its_state() {
    let site = quiet().await;
    let id = submit(&site.admin, json!({})).await;
    let act = async |verb: &str| site.admin.act(&format!("/v1/jobs/{id}:{verb}")).await;
    let refused = async |verb: &str, state: &str| {
        let answer = act(verb).await;
        assert_eq!(answer.problem(409, "state-conflict")["state"], state, "{verb}");
    };
    refused("retry", "queued").await;
    assert_eq!(act("cancel").await.is(200).json["state"], "cancelled");
    refused("cancel", "cancelled").await;
    refused("promote", "cancelled").await;
    assert_eq!(act("retry").await.is(202).json["state"], "queued");
    site.work().await;
    site.admin.until(&format!("/v1/jobs/{id}"), |job| job["state"] == "succeeded").await;
    for verb in ["cancel", "retry", "promote"] {
        refused(verb, "succeeded").await;
    }
    act("explode").await.problem(404, "not-found");
}

#[tokio::test]
async fn a_job_that_failed_is_run_once_more() {
    let site = Site::start(Travel::Memory).await;
    let body = json!({ "kind": "analysis.run", "max_attempts": 1,
                       "args": { "task": "summary", "input": { "document_id": "doc_01h455vb4pex5vsknk084sn02q" } } });
    let id = site.admin.post("/v1/jobs", &body).await.is(202).id();
    let path = format!("/v1/jobs/{id}");
    let failed = site.admin.until(&path, |job| job["state"] == "failed").await;
    assert_eq!((&failed["error"]["code"], &failed["attempt"]), (&json!("document-not-ready"), &json!(1)));
    let retry = site.admin.request(Method::POST, &format!("{path}:retry")).header("prefer", "wait=30");
    let again = Answer::to(retry).await.is(200).json;
    assert_eq!((&again["state"], &again["attempt"]), (&json!("failed"), &json!(2)));
}

#[tokio::test]
async fn many_callers_share_few_connections() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[("GRISTMILL_DATABASE_CONNECTIONS", "3")]).await;
    // None of them holds a connection while it waits for another.
    let answers = futures::future::join_all((0..60).map(|_| submit(&site.admin, json!({})))).await;
    assert_eq!(answers.iter().collect::<HashSet<_>>().len(), 60);
    assert_eq!(site.admin.get("/v1/jobs?limit=200").await.is(200).json["data"].as_array().unwrap().len(), 60);
}

#[tokio::test]
async fn lists_are_filtered() {
    let site = quiet().await;
    let plain = submit(&site.admin, json!({})).await;
    let tagged = submit(&site.admin, json!({ "tags": ["a", "b"], "queue": "io" })).await;
    let later = submit(&site.admin, json!({ "delay_s": 60 })).await;
    let accepted =
        site.admin.post("/v1/documents", &json!({ "source": { "type": "text", "text": STORY } })).await.is(202).json;
    let ingest = accepted["job"]["id"].as_str().unwrap().to_owned();
    let subject = format!("subject={}", accepted["document"]["id"].as_str().unwrap());
    let made = site.admin.get(&format!("/v1/jobs/{later}")).await.json["created_at"].as_str().unwrap().to_owned();
    let (after, before) = (format!("created_after={made}"), format!("created_before={made}"));
    for (filter, expected) in [
        ("kind=document.ingest", vec![&ingest]),
        ("state=scheduled", vec![&later]),
        ("state=queued&kind=analysis.run", vec![&tagged, &plain]),
        ("queue=io", vec![&tagged]),
        ("queue=ai", vec![&later, &plain]),
        ("tag=b", vec![&tagged]),
        ("tag=c", vec![]),
        (&subject, vec![&ingest]),
        (&after, vec![&ingest, &later]),
        (&before, vec![&tagged, &plain]),
    ] {
        let found = site.admin.list(&format!("/v1/jobs?{filter}")).await;
        let found: Vec<_> = found.iter().map(|job| job["id"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{filter}");
    }
}

#[tokio::test]
async fn pages_cover_everything_once_although_more_is_coming_in() {
    let site = quiet().await;
    let mut made = HashSet::new();
    for _ in 0..7 {
        made.insert(submit(&site.admin, json!({})).await);
    }
    let (mut seen, mut next, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = site.admin.get(&format!("/v1/jobs?limit=3{next}")).await.is(200).json;
        let rows = page["data"].as_array().unwrap();
        seen.extend(rows.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        assert_eq!(rows.len(), 3);
        next = format!("&cursor={cursor}");
        submit(&site.admin, json!({})).await;
    }
    assert_eq!((pages, seen.len()), (3, 7));
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "newest first: {seen:?}");
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), made);
}

#[tokio::test]
async fn what_the_caller_has_already_is_not_sent_again() {
    let site = quiet().await;
    let job = format!("/v1/jobs/{}", submit(&site.admin, json!({ "delay_s": 60 })).await);
    let accepted =
        site.admin.post("/v1/documents", &json!({ "source": { "type": "text", "text": STORY } })).await.is(202).json;
    let document = format!("/v1/documents/{}", accepted["document"]["id"].as_str().unwrap());
    let feed = site.admin.post("/v1/feeds", &json!({ "url": "https://example.org/feed" })).await.is(201);
    let feed = format!("/v1/feeds/{}", feed.id());
    let known = async |path: &str, tag: &str| {
        Answer::to(site.admin.request(Method::GET, path).header("if-none-match", tag)).await
    };
    for path in [&job, &document, &feed] {
        let first = site.admin.get(path).await.is(200);
        let tag = first.header("etag");
        assert!(tag.starts_with('"') && tag.len() > 2, "{path}");
        let same = known(path, tag).await.is(304);
        assert!(same.bytes.is_empty() && same.header("etag") == tag, "{path}");
        known(path, &format!("\"other\", W/{tag}")).await.is(304);
        known(path, "\"other\"").await.is(200);
    }
    let tag = site.admin.get(&job).await.header("etag").to_owned();
    site.admin.act(&format!("{job}:cancel")).await.is(200);
    assert_ne!(known(&job, &tag).await.is(200).header("etag"), tag);
}

#[tokio::test]
async fn a_request_is_known_by_its_id_to_the_end() {
    let site = quiet().await;
    let sent = async |id: &str, path: &str, body: Json| {
        Answer::to(site.admin.request(Method::POST, path).header("x-request-id", id).json(&body)).await
    };
    let job = sent("front-end.42", "/v1/jobs", summary()).await.is(202);
    assert_eq!((job.header("x-request-id"), &job.json["request_id"]), ("front-end.42", &json!("front-end.42")));
    let text = json!({ "source": { "type": "text", "text": STORY } });
    let document = sent("front-end.43", "/v1/documents", text).await.is(202);
    assert_eq!(document.json["job"]["request_id"], "front-end.43");
    assert_eq!(
        sent("front-end.44", "/v1/jobs", json!({})).await.problem(400, "invalid-request")["request_id"],
        "front-end.44"
    );
    // One that could not stand in a log line is replaced.
    for odd in ["", "with space", &"x".repeat(129)] {
        let id = sent(odd, "/v1/jobs", summary()).await.is(202).header("x-request-id").to_owned();
        assert!(!id.is_empty() && id != odd, "{id}");
    }
}

#[tokio::test]
async fn the_kinds_that_exist_are_listed_with_what_they_take() {
    let site = quiet().await;
    let kinds = site.admin.list("/v1/kinds").await;
    let names: Vec<_> = kinds.iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "analysis.run",
            "document.erase",
            "document.ingest",
            "embeddings.build",
            "feed.poll",
            "file.erase",
            "jobs.bulk",
        ]
    );
    for kind in &kinds {
        assert!(kind["about"].as_str().is_some_and(|about| about.ends_with('.')), "{kind}");
        assert!(kind["args_schema"]["properties"].is_object() && kind["timeout_s"].as_i64() > Some(0), "{kind}");
    }
    let me = site.admin.get("/v1/me").await.is(200).json;
    assert_eq!((&me["organization"]["name"], &me["scopes"]), (&json!("default"), &json!(["admin"])));
}
