//! What jobs tell of themselves: their steps, and events as they happen.

use super::*;

#[tokio::test]
async fn a_jobs_steps_are_listed() {
    let site = quiet().await;
    let id = submit(&site.admin, summary()).await;
    let path = format!("/v1/jobs/{id}/steps");
    assert!(site.admin.list(&path).await.is_empty());
    site.sql(
        "INSERT INTO job_steps (job_id, org_id, name, attempt, output, started_at, finished_at)
         SELECT id, org_id, 'step ' || n, 1, to_jsonb(n), now(), now() + make_interval(secs => n)
         FROM jobs, generate_series(1, 3) AS n",
    )
    .await;
    let first = site.admin.get(&format!("{path}?limit=2")).await.is(200).json;
    let names =
        |page: &Json| page["data"].as_array().unwrap().iter().map(|step| step["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), ["step 1", "step 2"]);
    let step = &first["data"][1];
    assert_eq!((&step["took_ms"], &step["output"], &step["attempt"]), (&json!(2_000), &json!(2), &json!(1)));
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = site.admin.get(&format!("{path}?cursor={cursor}")).await.is(200).json;
    assert_eq!((names(&rest), &rest["next_cursor"]), (vec![json!("step 3")], &Json::Null));
}

on_both! {
    async fn whoever_follows_an_organization_sees_what_happens_to_its_jobs(travel: Travel) {
        let site = Site::start(travel).await;
        let stranger = site.organization("stranger", &["admin"]).await;
        let mut all = site.admin.watch("/v1/events", None).await;
        let mut ends = site.admin.watch("/v1/events?types=job.succeeded,job.failed", None).await;
        let foreign = submit(&stranger, summary()).await;
        in_state(&stranger, &foreign, "succeeded").await;
        let id = submit(&site.admin, summary()).await;
        let mut names = Vec::new();
        loop {
            let event = all.next().await.unwrap();
            assert_eq!(event.data["job_id"], id.as_str(), "{event:?}");
            assert_eq!(event.id, event.data["id"].to_string());
            names.push(event.name);
            if names.last().is_some_and(|name| name == "job.succeeded") {
                break;
            }
        }
        names.retain(|name| name != "job.progress");
        assert_eq!(names, ["job.created", "job.started", "job.succeeded"]);
        let first = ends.next().await.unwrap();
        assert_eq!((first.name.as_str(), &first.data["job_id"]), ("job.succeeded", &json!(id)));
        // What happened while nobody listened is told when the stream is resumed.
        drop((all, ends));
        let later = submit(&site.admin, failing()).await;
        in_state(&site.admin, &later, "failed").await;
        let mut resumed = site.admin.watch("/v1/events?types=job.failed", Some(&first.id)).await;
        let event = resumed.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data["job_id"]), ("job.failed", &json!(later)));
        // What is too long ago is not: the follower is told so.
        let mut lost = site.admin.watch("/v1/events", Some("1")).await;
        assert_eq!(lost.next().await.unwrap().name, "gap");
    }
}

#[tokio::test]
async fn a_stream_of_events_ends_with_the_server_and_is_asked_for_properly() {
    let site = Site::start(Travel::Memory).await;
    let mut stream = site.admin.watch("/v1/events", None).await;
    submit(&site.admin, summary()).await;
    assert_eq!(stream.next().await.unwrap().name, "job.created");
    site.admin.get("/v1/events?types=colour").await.problem_at(400, "invalid-request", "types");
    let request = site.admin.request(Method::GET, "/v1/events").header("last-event-id", "x");
    Answer::to(request).await.problem(400, "invalid-request");
    site.stop().await;
    stream.rest().await;
}
