//! Commands that talk to the API: what they ask it, what they print, and how they end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use axum::{Json, Router, body::Bytes, extract::Request, http::StatusCode, response::IntoResponse as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What was asked: method, address and body.
type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

/// An API that answers everything alike.
async fn api(status: u16, answer: Value) -> (String, Asked) {
    let asked = Asked::default();
    let noted = asked.clone();
    let handler = move |request: Request| {
        let (noted, answer) = (noted.clone(), answer.clone());
        async move {
            assert_eq!(request.headers()["authorization"], "Bearer gm_test");
            let (parts, body) = request.into_parts();
            let bytes: Bytes = axum::body::to_bytes(body, 1_000_000).await.unwrap();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            noted.lock().unwrap().push((parts.method.to_string(), parts.uri.to_string(), body));
            (StatusCode::from_u16(status).unwrap(), Json(answer)).into_response()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(handler);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, asked)
}

/// Runs the command with a key.
async fn run(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
    command.args(arguments).env("GRISTMILL_URL", url).env("GRISTMILL_KEY", "gm_test");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_asks_for_what_it_says() {
    let (url, asked) = api(200, json!({ "id": "job_1", "state": "queued", "data": [] })).await;
    let until = "2031-01-01T00:00:00Z";
    for (arguments, method, path, body) in [
        (
            &["enqueue", "feed.poll", "--args", r#"{"a":1}"#, "--delay", "5", "--unique", "k", "--after", "job_2"][..],
            "POST",
            "/v1/jobs",
            json!({ "kind": "feed.poll", "args": { "a": 1 }, "delay_s": 5, "unique": { "key": "k" }, "after": ["job_2"] }),
        ),
        (
            &["jobs", "ls", "--state", "failed", "-q", "a b"],
            "GET",
            "/v1/jobs?state=failed&q=a%20b&limit=50",
            Value::Null,
        ),
        (&["jobs", "show", "job_1"], "GET", "/v1/jobs/job_1", Value::Null),
        (&["jobs", "cancel", "job_1"], "POST", "/v1/jobs/job_1:cancel", Value::Null),
        (&["jobs", "rm", "job_1"], "DELETE", "/v1/jobs/job_1", Value::Null),
        (
            &["jobs", "bulk", "set-priority", "--priority", "2", "--tag", "x", "--dry-run"],
            "POST",
            "/v1/bulk-actions",
            json!({ "action": "set_priority", "priority": 2, "filter": { "tag": "x" }, "dry_run": true }),
        ),
        (&["queues"], "GET", "/v1/queues", Value::Null),
        (
            &["queues", "pause", "ai", "--until", until],
            "POST",
            "/v1/queues/ai:pause",
            json!({ "everyone": false, "until": until }),
        ),
        (
            &["limits", "set", "key", "a:b", "--max-running", "3"],
            "PUT",
            "/v1/limits/key/a%3Ab",
            json!({ "max_running": 3 }),
        ),
        (
            &["limits", "resume", "kind", "x", "--everyone"],
            "POST",
            "/v1/limits/kind/x:resume?everyone=true",
            Value::Null,
        ),
    ] {
        let output = run(&url, arguments).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let expected = (method.to_owned(), path.to_owned(), body);
        assert_eq!(asked.lock().unwrap().pop().unwrap(), expected, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_printed_for_people_or_as_json() {
    let job = json!({ "id": "job_1", "kind": "x", "queue": "ai", "state": "queued", "attempt": 0,
                      "created_at": "2026-11-21T18:48:46.5Z", "finished_at": null,
                      "waiting_for": { "code": "no_worker", "detail": "Start one." } });
    let (url, _) = api(200, json!({ "data": [job.clone()], "next_cursor": null })).await;
    let table = printed(&run(&url, &["jobs", "ls"]).await);
    assert!(table.starts_with("JOB    KIND  QUEUE  STATE") && table.contains("job_1  x     ai     queued"), "{table}");
    assert!(table.contains("2026-11-21 18:48:46"), "{table}");
    let (url, _) = api(200, job.clone()).await;
    assert!(printed(&run(&url, &["jobs", "show", "job_1"]).await).contains("It does not run (no_worker): Start one."));
    let shown: Value = serde_json::from_str(&printed(&run(&url, &["jobs", "show", "job_1", "--json"]).await)).unwrap();
    assert_eq!(shown, job);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_how_it_ended() {
    let (url, _) = api(404, json!({ "detail": "There is no job.", "errors": [] })).await;
    let refused = run(&url, &["jobs", "show", "job_1"]).await;
    assert_eq!((refused.status.code(), printed(&refused)), (Some(1), String::new()));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("There is no job."));
    for wrong in [
        &["jobs", "show"][..],
        &["enqueue", "x", "--args", "[]"],
        &["enqueue", "x", "--args", "{"],
        &["jobs", "bulk", "explode"],
    ] {
        assert_eq!(run(&url, wrong).await.status.code(), Some(2), "{wrong:?}");
    }
    let (url, _) = api(200, json!({ "id": "job_1", "state": "failed", "error": { "message": "It broke." } })).await;
    let failed = run(&url, &["enqueue", "x", "--wait"]).await;
    assert!(failed.status.code() == Some(1) && printed(&failed).contains("It broke."));
    // Nobody listens there.
    assert_eq!(run("http://127.0.0.1:9", &["queues"]).await.status.code(), Some(1));
}
