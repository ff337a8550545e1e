//! Jobs that are handed in together.

use super::*;

#[tokio::test]
async fn ten_thousand_jobs_are_handed_in_at_once_with_or_without_those_that_cannot_be() {
    let site = quiet().await;
    let mut jobs = vec![with(summary(), json!({ "delay_s": 3600 })); 10_000];
    jobs[17] = with(summary(), json!({ "priority": 10 }));
    jobs[4_711] = json!({ "kind": "no.such" });
    jobs[4_712] = json!({ "kind": "analysis.run", "colour": "red" });
    jobs[9_999] = json!({ "kind": "analysis.run", "args": { "task": "poem" } });
    let wrong = [(17, "/priority"), (4_711, "/kind"), (4_712, "/colour"), (9_999, "/args")];
    let check = |rejected: &Json| {
        let rejected = rejected.as_array().unwrap();
        assert_eq!(rejected.len(), wrong.len(), "{rejected:?}");
        for (rejected, (index, pointer)) in rejected.iter().zip(wrong) {
            let problem = &rejected["problem"];
            assert_eq!(rejected["index"], index, "{rejected}");
            assert!(problem["errors"][0]["pointer"].as_str().unwrap().starts_with(pointer), "{rejected}");
            assert!(problem["detail"].is_string() && problem["type"].is_string(), "{rejected}");
        }
    };
    let refused = site.admin.post("/v1/jobs:batch", &json!({ "jobs": jobs, "atomic": true })).await;
    check(&refused.problem(422, "batch-rejected")["rejected"]);
    assert!(site.admin.list("/v1/jobs").await.is_empty() && site.admin.list("/v1/batches").await.is_empty());

    let answer = site.admin.post("/v1/jobs:batch", &json!({ "jobs": jobs })).await.is(202);
    check(&answer.json["rejected"]);
    assert_eq!((&answer.json["accepted"], &answer.json["existing"]), (&json!(9_996), &json!(0)));
    let ids = ids(&answer);
    assert!(
        ids.len() == 10_000
            && ids.iter().enumerate().all(|(at, id)| id.is_none() == wrong.iter().any(|(w, _)| *w == at))
    );
    let batch = answer.json["batch_id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/v1/batches/{batch}"));
    assert_eq!(site.count("jobs WHERE batch_id IS NOT NULL AND state = 'scheduled'").await, 9_996);
    let kept = site.admin.get(&format!("/v1/batches/{batch}")).await.is(200).json;
    assert_eq!((&kept["total"], &kept["pending"], &kept["finished_at"]), (&json!(9_996), &json!(9_996), &Json::Null));
    let page = site.admin.get(&format!("/v1/jobs?batch_id={batch}&limit=3")).await.is(200).json;
    assert!(
        page["data"].as_array().unwrap().iter().all(|job| job["batch_id"] == batch) && page["next_cursor"].is_string()
    );

    jobs.push(summary());
    site.admin.post("/v1/jobs:batch", &json!({ "jobs": jobs })).await.problem_at(400, "invalid-request", "/jobs");
    site.admin.post("/v1/jobs:batch", &json!({ "jobs": [] })).await.problem_at(400, "invalid-request", "/jobs");
    assert_eq!(site.admin.list("/v1/batches").await.len(), 1);
}

#[tokio::test]
async fn jobs_of_a_batch_follow_each_other_by_their_refs() {
    let site = Site::start(Travel::Memory).await;
    let jobs = json!([
        with(summary(), json!({ "ref": "end", "after": ["left", "right"] })),
        with(summary(), json!({ "ref": "left", "after": ["start"] })),
        with(summary(), json!({ "ref": "right", "after": ["start"] })),
        with(summary(), json!({ "ref": "start" })),
    ]);
    let answer = site.admin.post("/v1/jobs:batch", &json!({ "jobs": jobs, "atomic": true })).await.is(202);
    let ids: Vec<String> = ids(&answer).into_iter().flatten().collect();
    let end = in_state(&site.admin, &ids[0], "succeeded").await;
    let (mut after, mut expected) = (end["after"].as_array().unwrap().clone(), vec![json!(ids[1]), json!(ids[2])]);
    after.sort_by_key(Json::to_string);
    expected.sort_by_key(Json::to_string);
    assert_eq!(after, expected);
    let start = job(&site.admin, &ids[3]).await;
    for middle in &ids[1..3] {
        let middle = job(&site.admin, middle).await;
        assert!(start["finished_at"].as_str() <= middle["started_at"].as_str(), "{middle}");
        assert!(middle["finished_at"].as_str() <= end["started_at"].as_str(), "{middle}");
    }
}

#[tokio::test]
async fn jobs_that_would_wait_for_each_other_are_refused_and_so_is_who_follows_them() {
    let site = quiet().await;
    let jobs = json!([
        with(summary(), json!({ "ref": "a", "after": ["b"] })),
        with(summary(), json!({ "ref": "b", "after": ["a"] })),
        with(summary(), json!({ "after": ["a"] })),
        with(summary(), json!({ "ref": "wrong", "units": 0 })),
        with(summary(), json!({ "after": ["wrong"] })),
        with(summary(), json!({ "after": ["nobody"] })),
        with(summary(), json!({ "ref": "fine" })),
        with(summary(), json!({ "ref": "fine" })),
        with(summary(), json!({ "after": ["fine"] })),
        with(summary(), json!({ "ref": "only", "unique": { "key": "k" } })),
        with(summary(), json!({ "after": ["only"] })),
    ]);
    let answer = site.admin.post("/v1/jobs:batch", &json!({ "jobs": jobs })).await.is(202);
    let told: Vec<_> = answer.json["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rejected| {
            let problem = &rejected["problem"];
            (
                rejected["index"].as_u64().unwrap(),
                problem["type"].as_str().unwrap().to_owned(),
                problem["detail"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [
        (0, "invalid-dependency", "follows itself"),
        (1, "invalid-dependency", "follows itself"),
        (2, "invalid-dependency", "\"a\", which it is to follow, was refused"),
        (3, "invalid-request", "/units"),
        (4, "invalid-dependency", "\"wrong\", which it is to follow, was refused"),
        (5, "invalid-dependency", "\"nobody\" is neither"),
        (7, "invalid-request", "/ref"),
        (10, "invalid-dependency", "\"only\", which it is to follow, has a unique key"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((index, name, detail), (at, of, says)) in told.iter().zip(expected) {
        assert!(*index == at && name.ends_with(of) && detail.contains(says), "{index} {name} {detail}");
    }
    assert_eq!(answer.json["accepted"], 3);
}

#[tokio::test]
async fn a_batch_tells_when_all_of_it_is_over() {
    let site = Site::start(Travel::Memory).await;
    let follower = with(summary(), json!({ "tags": ["done"] }));
    let body = json!({ "jobs": [summary(), summary(), failing()], "on_complete": follower });
    let batch = site.admin.post("/v1/jobs:batch", &body).await.is(202).json["batch_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/batches/{batch}");
    let over = site.admin.until(&path, |batch| batch["finished_at"].is_string()).await;
    let counts = ["total", "pending", "succeeded", "failed", "cancelled"].map(|name| over[name].as_i64().unwrap());
    assert_eq!(counts, [3, 0, 2, 1, 0]);
    let follower = in_state(&site.admin, over["on_complete_job"].as_str().unwrap(), "succeeded").await;
    assert_eq!((&follower["subject"], &follower["tags"]), (&json!(batch), &json!(["done"])));
    // A batch of nothing new is over at once, and what is to follow it still follows.
    let body = json!({ "jobs": [json!({ "kind": "no.such" })], "on_complete": summary() });
    let empty = site.admin.post("/v1/jobs:batch", &body).await.is(202);
    assert_eq!((&empty.json["accepted"], empty.json["rejected"].as_array().unwrap().len()), (&json!(0), 1));
    let empty = site.admin.get(empty.header("location")).await.is(200).json;
    assert!(empty["total"] == 0 && empty["finished_at"].is_string(), "{empty}");
    in_state(&site.admin, empty["on_complete_job"].as_str().unwrap(), "succeeded").await;
    assert_eq!(site.admin.list("/v1/batches").await.len(), 2);
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_not_handed_in_again() {
    let site = quiet().await;
    let body = json!({ "jobs": [summary(), json!({ "kind": "no.such" })] });
    let send = async |body: &Json| {
        let request = site.admin.request(Method::POST, "/v1/jobs:batch").header("idempotency-key", "b");
        Answer::to(request.json(body)).await
    };
    let first = send(&body).await.is(202);
    let again = send(&body).await.is(202);
    assert_eq!((&again.json, again.header("idempotency-replayed")), (&first.json, "true"));
    assert_eq!(site.admin.list("/v1/jobs").await.len(), 1);
    send(&json!({ "jobs": [summary()] })).await.problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn unique_jobs_of_a_batch_are_answered_with_those_that_stand_for_them() {
    let site = quiet().await;
    let keyed =
        |key: &str, on_conflict: &str| with(summary(), json!({ "unique": { "key": key, "on_conflict": on_conflict } }));
    let known = submit(&site.admin, keyed("a", "ignore")).await;
    let jobs = json!([keyed("a", "ignore"), keyed("b", "ignore"), keyed("b", "ignore"), keyed("a", "reject")]);
    let answer = site.admin.post("/v1/jobs:batch", &json!({ "jobs": jobs })).await.is(202);
    let ids = ids(&answer);
    assert_eq!((ids[0].as_ref(), &ids[1], &ids[3]), (Some(&known), &ids[2], &None));
    assert_eq!((&answer.json["accepted"], &answer.json["existing"]), (&json!(3), &json!(2)));
    let problem = &answer.json["rejected"][0]["problem"];
    assert_eq!((&problem["type"], &problem["job_id"]), (&json!("/problems/duplicate-job"), &json!(known)));
    assert_eq!(site.admin.get(answer.header("location")).await.json["total"], 1);
}
