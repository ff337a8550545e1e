//! What somebody may not see or do: without a key, with another organization's, or with one that holds too little.

use std::collections::HashMap;

use gristmill_tests::{
    site::{ALLOWED, Answer, Client, Origin, Parts, Site},
    world::Travel,
};
use reqwest::Method;
use serde_json::{Value as Json, json};

const MILL: &str = "The mill at Wenbourne grinds wheat on two lines. The older line was installed in 1978.";
const FEED: &str = r#"<rss version="2.0"><channel><title>Courier</title><link>https://example.org/</link>
    <item><guid>1</guid><title>Mill to close</title><description>The mill at Wenbourne closes in March.</description></item>
    </channel></rss>"#;

/// Every call that the API describes, as (method, path), except those that need no key.
async fn calls(site: &Site) -> Vec<(Method, String)> {
    let described = site.admin.get("/openapi.json").await.is(200).json;
    let mut calls = Vec::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"] {
            if item.get(method).is_some() && path.starts_with("/v1/") {
                calls.push((method.to_uppercase().parse().unwrap(), path.clone()));
            }
        }
    }
    assert!(calls.len() >= 25, "{calls:?}");
    calls
}

/// A body that `path` accepts where it needs one to get as far as looking.
fn body(path: &str) -> Option<Json> {
    match path {
        "/v1/orgs/{id}/keys" => Some(json!({ "name": "mine", "scopes": ["admin"] })),
        "/v1/orgs/{id}" => Some(json!({ "search_history": false })),
        _ => None,
    }
}

async fn call(client: &Client, method: &Method, path: &str, body: Option<Json>) -> Answer {
    let request = client.request(method.clone(), path);
    Answer::to(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

/// One of everything, by the first two segments of where it is found.
async fn belongings(site: &Site, owner: &Client) -> HashMap<&'static str, String> {
    let document = owner.text(MILL, json!({ "external_id": "plan" })).await;
    let origin = Origin::holding("application/rss+xml", "\"1\"", FEED).await;
    let feed = owner.post("/v1/feeds", &json!({ "url": origin.url })).await.is(201).id();
    let space = owner.list("/v1/embedding-spaces").await[0]["id"].as_str().unwrap().to_owned();
    let articles = owner.until("/v1/articles", |list| !list["data"].as_array().unwrap().is_empty()).await;
    let article = articles["data"][0]["id"].as_str().unwrap().to_owned();
    let me = owner.get("/v1/me").await.is(200).json;
    let text = |json: &Json| json.as_str().unwrap().to_owned();
    let busy = owner
        .post("/v1/jobs", &json!({ "kind": "feed.poll", "args": { "feed_id": feed }, "delay_s": 3600 }))
        .await
        .is(202)
        .id();
    let empty = owner.post("/v1/jobs:batch", &json!({ "jobs": [{ "kind": "no.such" }] })).await.is(202).json;
    assert!(site.admin.list("/v1/jobs").await.is_empty() && site.admin.list("/v1/batches").await.is_empty());
    HashMap::from([
        ("/v1/batches", text(&empty["batch_id"])),
        ("/v1/jobs", busy),
        ("/v1/documents", text(&document["id"])),
        ("/v1/embedding-spaces", space),
        ("/v1/feeds", feed),
        ("/v1/articles", article),
        ("/v1/keys", text(&me["key"]["id"])),
        ("/v1/orgs", text(&me["organization"]["id"])),
    ])
}

on_both! {
    async fn another_organizations_ids_are_ids_of_nothing(travel: Travel) {
        let site = Site::with(travel, Parts::All, &[ALLOWED]).await;
        let owner = site.organization("owner", &["admin"]).await;
        let stranger = site.organization("stranger", &["admin"]).await;
        let belongings = belongings(&site, &owner).await;
        let mut tried = 0;
        for (method, path) in calls(&site).await.into_iter().filter(|(_, path)| path.contains("{id}")) {
            let (start, _) = path.split_once("/{id}").unwrap();
            let id = &belongings[start];
            let answer = call(&stranger, &method, &path.replace("{id}", id), body(&path)).await;
            let problem = answer.problem(404, "not-found");
            // Nothing tells it from an id that nobody has.
            let (prefix, _) = id.split_once('_').unwrap();
            let nobodys = format!("{prefix}_01h455vb4pex5vsknk084sn02q");
            let nothing = call(&stranger, &method, &path.replace("{id}", &nobodys), body(&path)).await;
            assert_eq!(nothing.problem(404, "not-found")["detail"], problem["detail"], "{method} {path}");
            tried += 1;
        }
        assert!(tried >= 15, "{tried}");
        assert_eq!(stranger.follow(&belongings["/v1/jobs"], None).await.status, 404);
        // And nothing was done: its owner finds everything as it was.
        for (start, id) in belongings.into_iter().filter(|(start, _)| !["/v1/keys", "/v1/orgs"].contains(start)) {
            assert_eq!(owner.get(&format!("{start}/{id}")).await.is(200).id(), id);
        }
        assert_eq!(owner.list("/v1/jobs?state=scheduled").await.len(), 1);
    }

    async fn lists_and_search_show_ones_own_only(travel: Travel) {
        let site = Site::with(travel, Parts::All, &[ALLOWED]).await;
        let owner = site.organization("owner", &["admin"]).await;
        let stranger = site.organization("stranger", &["admin"]).await;
        belongings(&site, &owner).await;
        for client in [&stranger, &site.admin] {
            for list in ["/v1/jobs", "/v1/batches", "/v1/documents", "/v1/documents?external_id=plan", "/v1/feeds", "/v1/articles", "/v1/embedding-spaces", "/v1/search-history"] {
                assert!(client.list(list).await.is_empty(), "{list}");
            }
            for mode in ["keyword", "semantic", "hybrid"] {
                let found = client.search(&json!({ "query": "the mill at Wenbourne", "mode": mode })).await;
                assert!(found.is_empty(), "{mode}");
            }
        }
        // What the first calls "plan" is no name that the second could not use, and its bytes are no news.
        let own = stranger.text(MILL, json!({ "external_id": "plan" })).await;
        assert_eq!(own["versions"], 1);
        assert_eq!(stranger.list("/v1/documents").await.len(), 1);
        let found = stranger.search(&json!({ "query": "Wenbourne" })).await;
        assert!(!found.is_empty() && found.iter().all(|hit| hit["document_id"] == own["id"]));
    }
}

#[tokio::test]
async fn a_job_cannot_reach_into_another_organization() {
    let site = Site::start(Travel::Memory).await;
    let owner = site.organization("owner", &["admin"]).await;
    let document = owner.text(MILL, json!({})).await;
    let stranger = site.organization("stranger", &["admin"]).await;
    let body =
        json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "document_id": document["id"] } } });
    let job = stranger.ended(&stranger.post("/v1/jobs", &body).await.is(202).json).await;
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!("document-not-ready")));
    assert_eq!(owner.ended(&owner.post("/v1/jobs", &body).await.is(202).json).await["state"], "succeeded");
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_answered() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let revoked = site.organization("gone", &["admin"]).await;
    let me = revoked.get("/v1/me").await.is(200).json;
    site.admin.delete(&format!("/v1/keys/{}", me["key"]["id"].as_str().unwrap())).await.is(204);
    let wrong = [site.admin.without_key(), site.admin.with_key("gm_wrong"), site.admin.with_key("x"), revoked];
    for (method, path) in calls(&site).await {
        let path = path.replace("{id}", "job_01h455vb4pex5vsknk084sn02q");
        for client in &wrong {
            let answer = call(client, &method, &path, None).await;
            answer.problem(401, "unauthorized");
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
        }
    }
    let basic = site.admin.without_key().request(Method::GET, "/v1/jobs").basic_auth("admin", Some("admin"));
    Answer::to(basic).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_key_may_do_what_its_scopes_say_and_no_more() {
    let site = Site::with(Travel::Memory, Parts::NoWorker, &[]).await;
    let admin = site.organization("acme", &["admin"]).await;
    let org = admin.get("/v1/me").await.is(200).json["organization"]["id"].as_str().unwrap().to_owned();
    let body = json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "text": "One." } } });
    let document = json!({ "source": { "type": "text", "text": MILL } });
    let feed = json!({ "url": "https://example.org/feed" });
    let keys = json!({ "name": "more", "scopes": ["admin"] });
    // For each set of scopes: may it look, hand in, steer, make keys?
    for (scopes, allowed) in [
        (&["read"][..], [true, false, false, false]),
        (&["submit"], [false, true, false, false]),
        (&["operate"], [true, false, true, false]),
        (&["read", "submit"], [true, true, false, false]),
        (&["read", "submit", "operate"], [true, true, true, false]),
        (&["admin"], [true, true, true, true]),
    ] {
        let client = site.key(&format!("/v1/orgs/{org}"), scopes).await;
        let job = admin.post("/v1/jobs", &body).await.is(202).id();
        let doc = admin.post("/v1/documents", &document).await.json["document"]["id"].as_str().unwrap().to_owned();
        let check = |answer: Answer, allowed: bool, what: &str| {
            if allowed {
                assert!((200..300).contains(&answer.status), "{scopes:?} {what}: {}", answer.json);
            } else {
                answer.problem(403, "forbidden");
            }
        };
        let of_job = ["events", "steps"].map(|what| format!("/v1/jobs/{job}/{what}"));
        let lists = [
            "jobs",
            "documents",
            "feeds",
            "articles",
            "batches",
            "queues",
            "limits",
            "task-stats",
            "search-history",
            "embedding-spaces",
        ];
        for path in lists.map(|list| format!("/v1/{list}")).iter().chain(&of_job) {
            check(client.get(path).await, allowed[0], path);
        }
        check(client.delete("/v1/search-history").await, allowed[3], "search-history");
        check(client.post("/v1/search", &json!({ "query": "mill" })).await, allowed[0], "search");
        let batch = json!({ "jobs": [body] });
        for (path, body) in
            [("/v1/jobs", &body), ("/v1/jobs:batch", &batch), ("/v1/documents", &document), ("/v1/feeds", &feed)]
        {
            check(client.post(path, body).await, allowed[1], path);
        }
        check(client.act(&format!("/v1/jobs/{job}:cancel")).await, allowed[2], "cancel");
        for path in ["queues/ai:pause", "queues/ai:resume", "limits/key/k:pause", "limits/key/k:resume"] {
            check(client.act(&format!("/v1/{path}")).await, allowed[2], path);
        }
        for (action, may) in [("cancel", allowed[2]), ("delete", allowed[3])] {
            let bulk = json!({ "action": action, "filter": {}, "dry_run": true });
            check(client.post("/v1/bulk-actions", &bulk).await, may, action);
        }
        check(client.delete(&format!("/v1/jobs/{job}")).await, allowed[3], "remove");
        check(client.delete(&format!("/v1/documents/{doc}")).await, allowed[2], "delete");
        check(client.delete(&format!("/v1/documents/{doc}?purge=true")).await, allowed[3], "purge");
        check(client.post(&format!("/v1/orgs/{org}/keys"), &keys).await, allowed[3], "keys");
        // Only the installation's own administrators make organizations.
        check(client.post("/v1/orgs", &json!({ "name": "another" })).await, false, "orgs");
        client.get("/v1/me").await.is(200);
    }
}

#[tokio::test]
async fn what_only_helps_those_who_run_gristmill_is_shown_to_them_only() {
    let site = Site::with(Travel::Memory, Parts::All, &[ALLOWED]).await;
    let admin = site.organization("acme", &["admin"]).await;
    let org = admin.get("/v1/me").await.is(200).json["organization"]["id"].as_str().unwrap().to_owned();
    let reader = site.key(&format!("/v1/orgs/{org}"), &["read"]).await;
    let body = json!({ "kind": "document.ingest", "max_attempts": 1,
                       "args": { "document_id": admin.text(MILL, json!({})).await["id"], "version_id": "ver_01h455vb4pex5vsknk084sn02q" } });
    let job = admin.ended(&admin.post("/v1/jobs", &body).await.is(202).json).await;
    assert_eq!(job["error"]["code"], "document-gone");
    // Nobody listens there, which the cause says.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = json!({ "source": { "type": "url", "url": format!("http://{nobody}/") } });
    let job = admin.post("/v1/documents", &unreachable).await.is(202).json["job"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/jobs/{job}");
    let seen = admin.until(&path, |job| !job["error"].is_null()).await;
    assert!(seen["error"]["detail"].is_string(), "{seen}");
    let seen = reader.get(&path).await.is(200).json;
    assert!(seen["error"]["code"] == "connect-failed" && seen["error"].get("detail").is_none(), "{seen}");
    let events = reader.list(&format!("{path}/events")).await;
    assert!(events.iter().all(|event| event["data"]["error"].get("detail").is_none()), "{events:?}");
}
