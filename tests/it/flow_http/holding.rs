//! What holds jobs back: pauses, limits and rates; and how much there is to do.

use super::*;

#[tokio::test]
async fn a_paused_queue_holds_its_jobs_and_they_say_so() {
    let site = Site::start(Travel::Memory).await;
    let until = "2031-01-01T00:00:00Z";
    let paused = site.admin.post("/v1/queues/ai:pause", &json!({ "until": until })).await.is(200).json;
    assert_eq!(
        (&paused["name"], &paused["paused"], &paused["paused_until"]),
        (&json!("ai"), &json!(true), &json!(until))
    );
    let id = submit(&site.admin, summary()).await;
    let waiting = waits_for(&site.admin, &id, "paused_queue").await;
    assert!(
        waiting["until"] == until && waiting["detail"].as_str().unwrap().contains("/v1/queues/ai:resume"),
        "{waiting}"
    );
    // Another organization's jobs of that queue run, and other queues run.
    let neighbour = site.organization("neighbour", &["admin"]).await;
    in_state(&neighbour, &submit(&neighbour, summary()).await, "succeeded").await;
    in_state(&site.admin, &submit(&site.admin, with(summary(), json!({ "queue": "io" }))).await, "succeeded").await;
    let queues = site.admin.list("/v1/queues").await;
    let ai = queues.iter().find(|queue| queue["name"] == "ai").unwrap();
    assert_eq!((&ai["queued"], &ai["paused"], &ai["running"]), (&json!(1), &json!(true), &json!(0)), "{ai}");
    assert!(
        ai["oldest_age_s"].as_f64().is_some_and(|age| age >= 0.0)
            && ai["workers"] == 1
            && ai["slots"].as_i64() > Some(0),
        "{ai}"
    );
    assert_eq!(site.admin.act("/v1/queues/ai:resume").await.is(200).json["paused"], false);
    in_state(&site.admin, &id, "succeeded").await;
    // Everybody's pause is for whoever runs the installation.
    neighbour.post("/v1/queues/ai:pause", &json!({ "everyone": true })).await.problem(403, "forbidden");
    site.admin.post("/v1/queues/ai:pause", &json!({ "everyone": true })).await.is(200);
    let held = submit(&neighbour, summary()).await;
    assert!(waits_for(&neighbour, &held, "paused_queue").await["detail"].as_str().unwrap().contains("administrator"));
    assert_eq!(neighbour.act("/v1/queues/ai:resume").await.is(200).json["paused_for_everyone"], true);
    site.admin.post("/v1/queues/ai:resume", &json!({ "everyone": true })).await.is(200);
    in_state(&neighbour, &held, "succeeded").await;
    site.admin.act("/v1/queues/slow:pause").await.problem(404, "not-found");
    site.admin.post("/v1/queues/ai:pause", &json!({ "until": "2020-01-01T00:00:00Z" })).await.problem_at(
        400,
        "invalid-request",
        "/until",
    );
}

#[tokio::test]
async fn limits_hold_jobs_back_and_they_say_which() {
    let site = Site::start(Travel::Memory).await;
    let me = site.admin.get("/v1/me").await.is(200).json["organization"]["id"].as_str().unwrap().to_owned();
    for (path, limit, code) in [
        ("kind/analysis.run", json!({ "max_running": 0 }), "kind_concurrency"),
        ("queue/ai", json!({ "max_running": 0 }), "queue_concurrency"),
        ("kind/analysis.run?everyone=true", json!({ "max_running": 0 }), "kind_concurrency"),
        ("key/crm:acme", json!({ "max_running": 0 }), "key_concurrency"),
        (&format!("org/{me}"), json!({ "max_running": 0, "weight": 7 }), "org_concurrency"),
    ] {
        let path = format!("/v1/limits/{path}");
        let set = put(&site.admin, &path, &limit).await.is(200).json;
        assert_eq!((&set["max_running"], &set["paused"]), (&json!(0), &json!(false)), "{path}");
        assert_eq!(set["everyone"], path.ends_with("everyone=true"), "{path}");
        let held = submit(&site.admin, with(summary(), json!({ "concurrency_key": "crm:acme" }))).await;
        waits_for(&site.admin, &held, code).await;
        let found = site.admin.list("/v1/limits").await;
        assert!(found.len() == 1 && found[0] == set, "{found:?}");
        site.admin.delete(&path).await.is(204);
        site.admin.delete(&path).await.problem(404, "not-found");
        let done = in_state(&site.admin, &held, "succeeded").await;
        assert_eq!(done["concurrency_key"], "crm:acme");
    }
    for (path, code) in
        [("kind/analysis.run", "paused_kind"), ("key/crm%3Apause", "paused_key"), (&format!("org/{me}"), "paused_org")]
    {
        let path = format!("/v1/limits/{path}");
        assert_eq!(site.admin.act(&format!("{path}:pause")).await.is(200).json["paused"], true);
        let held = submit(&site.admin, with(summary(), json!({ "concurrency_key": "crm:pause" }))).await;
        waits_for(&site.admin, &held, code).await;
        assert_eq!(site.admin.act(&format!("{path}:resume")).await.is(200).json["paused"], false);
        in_state(&site.admin, &held, "succeeded").await;
    }
}

#[tokio::test]
async fn a_rate_is_used_up_by_units() {
    let site = Site::start(Travel::Memory).await;
    put(&site.admin, "/v1/limits/kind/analysis.run", &json!({ "per_minute": 60 })).await.is(200);
    let heavy = submit(&site.admin, with(summary(), json!({ "units": 600 }))).await;
    in_state(&site.admin, &heavy, "succeeded").await;
    let next = submit(&site.admin, summary()).await;
    waits_for(&site.admin, &next, "rate_limit").await;
    put(&site.admin, "/v1/limits/kind/analysis.run", &json!({})).await.is(200);
    in_state(&site.admin, &next, "succeeded").await;
}

#[tokio::test]
async fn limits_are_set_by_those_whose_they_are() {
    let site = quiet().await;
    let acme = site.organization("acme", &["admin"]).await;
    let org = acme.get("/v1/me").await.is(200).json["organization"]["id"].as_str().unwrap().to_owned();
    let reader = site.key(&format!("/v1/orgs/{org}"), &["read"]).await;
    let limit = json!({ "max_running": 3 });
    put(&reader, "/v1/limits/queue/ai", &limit).await.problem(403, "forbidden");
    for path in [format!("/v1/limits/org/{org}"), "/v1/limits/queue/ai?everyone=true".to_owned()] {
        put(&acme, &path, &limit).await.problem(403, "forbidden");
        let (bare, query) =
            path.split_once('?').map_or((path.as_str(), String::new()), |(bare, query)| (bare, format!("?{query}")));
        acme.act(&format!("{bare}:pause{query}")).await.problem(403, "forbidden");
        acme.act(&format!("{bare}:resume{query}")).await.problem(403, "forbidden");
        acme.delete(&path).await.problem(403, "forbidden");
    }
    put(&acme, "/v1/limits/key/k", &limit).await.is(200);
    assert!(site.admin.list("/v1/limits").await.is_empty(), "another organization's limits are nobody's business");
    put(&site.admin, &format!("/v1/limits/org/{org}"), &json!({ "weight": 5 })).await.is(200);
    put(&site.admin, "/v1/limits/kind/feed.poll?everyone=true", &limit).await.is(200);
    let seen = reader.list("/v1/limits").await;
    let names: Vec<_> = seen
        .iter()
        .map(|limit| (limit["scope"].as_str().unwrap(), limit["name"].as_str().unwrap(), limit["everyone"] == true))
        .collect();
    assert_eq!(names, [("kind", "feed.poll", true), ("key", "k", false), ("org", org.as_str(), false)]);
    for (path, body, pointer) in [
        ("queue/ai", json!({ "max_running": -1 }), "/max_running"),
        ("queue/ai", json!({ "per_minute": 0 }), "/per_minute"),
        ("queue/ai", json!({ "weight": 2 }), "/weight"),
        (&format!("org/{org}"), json!({ "weight": 1001 }), "/weight"),
        ("queue/ai", json!({ "colour": "red" }), "/colour"),
        ("key/k?everyone=true", json!({}), "everyone"),
    ] {
        put(&site.admin, &format!("/v1/limits/{path}"), &body).await.problem_at(400, "invalid-request", pointer);
    }
    for path in ["queue/slow", "kind/no.such", "org/nobody", "org/org_01h455vb4pex5vsknk084sn02q", "colour/red"] {
        put(&site.admin, &format!("/v1/limits/{path}"), &limit).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn an_autoscaler_sees_how_much_there_is_to_do() {
    let site = quiet().await;
    let reader = site.organization("scaler", &["read"]).await;
    for _ in 0..3 {
        submit(&site.admin, summary()).await;
    }
    submit(&site.admin, with(summary(), json!({ "delay_s": 60 }))).await;
    let stats = reader.get("/v1/task-stats").await.is(200).json;
    let ai = &stats["queues"]["ai"];
    assert_eq!((&ai["queued"], &ai["running"], &ai["workers"]), (&json!(3), &json!(0), &json!(0)), "{stats}");
    assert!(ai["oldest_age_s"].as_f64() > Some(0.0) && stats["queues"].as_object().unwrap().len() == 4, "{stats}");
    // As numbers of one's own, they are one's own only.
    assert!(reader.list("/v1/queues").await.iter().all(|queue| queue["queued"] == 0));
    reader.get("/v1/queues?everyone=true").await.problem(403, "forbidden");
    let all = site.admin.list("/v1/queues?everyone=true").await;
    let ai = all.iter().find(|queue| queue["name"] == "ai").unwrap();
    assert_eq!((&ai["queued"], &ai["scheduled"]), (&json!(3), &json!(1)));
    site.work().await;
    let counted =
        |queue: &Json| queue["name"] == "ai" && queue["queued"] == 0 && queue["out_per_minute"].as_f64() > Some(0.0);
    let drained = eventually("the count", async || site.admin.list("/v1/queues").await.into_iter().find(counted)).await;
    assert_eq!((&drained["eta_s"], &drained["failed_last_hour"]), (&json!(0.0), &json!(0)), "{drained}");
    assert_eq!(drained["oldest_age_s"], Json::Null);
    assert!(drained["in_per_minute"].as_f64() > Some(0.0) && drained["slots"].as_i64() > Some(0), "{drained}");
}
