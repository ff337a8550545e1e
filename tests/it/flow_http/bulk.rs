//! One thing done to many jobs, and finding them.

use super::*;

#[tokio::test]
async fn one_thing_is_done_to_many_jobs() {
    let site = Site::start(Travel::Memory).await;
    let later = |tag: &str| with(summary(), json!({ "delay_s": 3600, "tags": [tag] }));
    let jobs: Vec<Json> = (0..1_100).map(|n| later(if n % 11 == 0 { "rare" } else { "common" })).collect();
    site.admin.post("/v1/jobs:batch", &json!({ "jobs": jobs })).await.is(202);
    let done = submit(&site.admin, summary()).await;
    in_state(&site.admin, &done, "succeeded").await;
    let bulk = async |action: Json| site.admin.post("/v1/bulk-actions", &action).await;
    let dry = async |action: &str, filter: Json| {
        let body = json!({ "action": action, "filter": filter, "dry_run": true });
        let answer = bulk(body).await.is(200).json;
        assert_eq!(answer["at_least"], false);
        answer["matches"].as_i64().unwrap()
    };
    // Only what the action fits is counted: the one that succeeded cannot be called off.
    assert_eq!((dry("cancel", json!({})).await, dry("cancel", json!({ "tag": "rare" })).await), (1_100, 100));
    assert_eq!((dry("delete", json!({})).await, dry("retry", json!({})).await), (1, 0));
    let run = async |body: Json| {
        let accepted = bulk(body).await.is(202);
        assert!(accepted.json["kind"] == "jobs.bulk" && accepted.header("location").ends_with(&accepted.id()));
        in_state(&site.admin, &accepted.id(), "succeeded").await
    };
    let first = run(json!({ "action": "set_priority", "priority": 1, "filter": { "tag": "rare" } })).await;
    assert_eq!(first["result"], json!({ "changed": 100, "skipped": 0 }));
    assert_eq!(site.count("jobs WHERE priority = 1").await, 100);
    let cancelled = run(json!({ "action": "cancel", "filter": { "kind": "analysis.run" } })).await;
    assert_eq!((&cancelled["result"]["changed"], &cancelled["progress"]["done"]), (&json!(1_100), &json!(1_100)));
    let log = site.admin.list(&format!("/v1/jobs/{}/events", cancelled["id"].as_str().unwrap())).await;
    assert!(
        log.iter()
            .any(|event| event["type"] == "log" && event["data"]["message"].as_str().unwrap().contains("1100 jobs"))
    );
    assert_eq!(site.count("jobs WHERE state = 'cancelled'").await, 1_100);
    let retried = run(json!({ "action": "retry", "filter": { "tag": "rare" } })).await;
    assert_eq!(retried["result"]["changed"], 100);
    eventually("their end", async || {
        (site.count("jobs WHERE state = 'succeeded' AND tags = '{rare}'").await == 100).then_some(())
    })
    .await;
    // Everything that is over goes, except the job that does it.
    let gone = run(json!({ "action": "delete", "filter": {} })).await;
    assert_eq!(gone["result"]["changed"], 1_100 + 1 + 3);
    assert_eq!(site.admin.list("/v1/jobs").await.len(), 1);
    assert_eq!(site.count("job_events WHERE job_id NOT IN (SELECT id FROM jobs)").await, 0);
}

#[tokio::test]
async fn what_is_done_to_many_needs_who_may_and_is_asked_for_in_one_way() {
    let site = quiet().await;
    let admin = site.organization("acme", &["admin"]).await;
    let org = admin.get("/v1/me").await.is(200).json["organization"]["id"].as_str().unwrap().to_owned();
    let operator = site.key(&format!("/v1/orgs/{org}"), &["operate", "submit"]).await;
    let id = submit(&site.admin, with(summary(), json!({ "delay_s": 60 }))).await;
    let ask = |action: &str, dry_run: bool| json!({ "action": action, "filter": {}, "dry_run": dry_run });
    operator.post("/v1/bulk-actions", &ask("delete", true)).await.problem(403, "forbidden");
    operator.delete(&format!("/v1/jobs/{id}")).await.problem(403, "forbidden");
    // Another organization's jobs are nobody's.
    assert_eq!(operator.post("/v1/bulk-actions", &ask("cancel", true)).await.is(200).json["matches"], 0);
    let by_hand = json!({ "kind": "jobs.bulk", "args": { "action": "delete", "filter": {} } });
    operator.post("/v1/jobs", &by_hand).await.problem_at(400, "invalid-request", "/kind");
    operator.post("/v1/jobs", &with(summary(), json!({ "on_success": by_hand }))).await.problem_at(
        400,
        "invalid-request",
        "/on_success/kind",
    );
    operator.post("/v1/jobs:batch", &json!({ "jobs": [summary()], "on_complete": by_hand })).await.problem_at(
        400,
        "invalid-request",
        "/on_complete/kind",
    );
    let batch = operator.post("/v1/jobs:batch", &json!({ "jobs": [by_hand] })).await.is(202).json;
    assert_eq!(batch["accepted"], 0);
    for (body, pointer) in [
        (json!({ "action": "explode", "filter": {} }), "/action"),
        (json!({ "action": "cancel" }), ""),
        (json!({ "action": "cancel", "filter": { "state": "asleep" } }), "/filter/state"),
        (json!({ "action": "cancel", "filter": { "batch_id": "job_1" } }), "/filter/batch_id"),
        (json!({ "action": "cancel", "filter": { "colour": "red" } }), "/filter/colour"),
        (json!({ "action": "cancel", "filter": {}, "priority": 1 }), "/priority"),
        (json!({ "action": "set_priority", "filter": {} }), "/priority"),
    ] {
        admin.post("/v1/bulk-actions", &body).await.problem_at(400, "invalid-request", pointer);
    }
    site.admin.delete(&format!("/v1/jobs/{id}")).await.problem(409, "state-conflict");
    site.admin.act(&format!("/v1/jobs/{id}:cancel")).await.is(200);
    site.admin.delete(&format!("/v1/jobs/{id}")).await.is(204);
    site.admin.get(&format!("/v1/jobs/{id}")).await.problem(404, "not-found");
}

#[tokio::test]
async fn jobs_are_found_by_their_errors_and_their_words() {
    let site = Site::start(Travel::Memory).await;
    let failed = submit(&site.admin, failing()).await;
    let other = submit(
        &site.admin,
        with(summary(), json!({ "args": { "task": "summary", "input": { "text": "100%_sure." } } })),
    )
    .await;
    let error = in_state(&site.admin, &failed, "failed").await["error"].clone();
    in_state(&site.admin, &other, "succeeded").await;
    let fingerprint = error["fingerprint"].as_str().unwrap();
    for (query, expected) in [
        (format!("error_fingerprint={fingerprint}"), vec![&failed]),
        ("error_fingerprint=x".to_owned(), vec![]),
        ("q=100%25_SURE".to_owned(), vec![&other]),
        ("q=100xxsure".to_owned(), vec![]),
        ("q=doc_01h455vb4pex5vsknk084sn02q".to_owned(), vec![&failed]),
        ("batch_id=bat_01h455vb4pex5vsknk084sn02q".to_owned(), vec![]),
    ] {
        let found = site.admin.list(&format!("/v1/jobs?{query}")).await;
        let found: Vec<_> = found.iter().map(|job| job["id"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{query}");
    }
    site.admin.get("/v1/jobs?batch_id=job_1").await.problem_at(400, "invalid-request", "batch_id");
    site.admin.get("/v1/jobs?q=").await.problem_at(400, "invalid-request", "q");
}

#[tokio::test]
async fn of_many_jobs_with_one_unique_key_one_is_run_once_more() {
    let site = Site::start(Travel::Memory).await;
    for _ in 0..3 {
        let keyed = with(summary(), json!({ "delay_s": 3600, "unique": { "key": "daily" } }));
        let id = submit(&site.admin, keyed).await;
        site.admin.act(&format!("/v1/jobs/{id}:cancel")).await.is(200);
    }
    site.admin.act("/v1/queues/ai:pause").await.is(200);
    let body = json!({ "action": "retry", "filter": { "state": "cancelled" } });
    let bulk = site.admin.post("/v1/bulk-actions", &body).await.is(202).id();
    let done = in_state(&site.admin, &bulk, "succeeded").await;
    assert_eq!((&done["result"], &done["attempt"]), (&json!({ "changed": 1, "skipped": 2 }), &json!(1)));
    assert_eq!(site.admin.list("/v1/jobs?state=queued").await.len(), 1);
}
