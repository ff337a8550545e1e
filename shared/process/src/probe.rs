//! `/healthz`, `/readyz` and `/metrics` for a process that serves nothing else.

use std::net::SocketAddr;

use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
use futures::future::BoxFuture;
use gristmill_engine::{Engine, worker::Health};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// One thing a process needs, and whether it has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What: `database`, `delivery` ….
    pub name: &'static str,
    /// Why it is not there, for logs.
    pub problem: Option<String>,
}

impl Check {
    /// A check with its result.
    pub fn new(name: &'static str, result: Result<(), impl std::fmt::Display>) -> Self {
        Self { name, problem: result.err().map(|error| error.to_string()) }
    }
}

/// Whether the database and the delivery can be reached, and the fetching loops of a worker (if there is one) live.
pub async fn checks(engine: &Engine, worker: Option<&Health>) -> Vec<Check> {
    let (database, delivery) = tokio::join!(engine.db().ping(), engine.delivery().check());
    let mut checks = vec![Check::new("database", database), Check::new("delivery", delivery)];
    if let Some(health) = worker {
        let alive = if health.is_alive() { Ok(()) } else { Err("a fetching loop does not ask for work") };
        checks.push(Check::new("worker", alive));
    }
    checks
}

/// The answer to `/readyz`: which checks failed, but not why; that stands in the log.
pub fn answer(checks: &[Check]) -> (StatusCode, Json<serde_json::Value>) {
    let mut all = serde_json::Map::new();
    for check in checks {
        if let Some(problem) = &check.problem {
            tracing::warn!(check = check.name, problem, "not ready");
        }
        let word = if check.problem.is_none() { "ok" } else { "failed" };
        all.insert(check.name.to_owned(), word.into());
    }
    let ready = checks.iter().all(|check| check.problem.is_none());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "status": if ready { "ready" } else { "not_ready" }, "checks": all })))
}

/// Answers at `bind` until `stop`; `ready` makes the checks.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    bind: SocketAddr,
    metrics: PrometheusHandle,
    ready: impl Fn() -> BoxFuture<'static, Vec<Check>> + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(bind).await?;
    let readiness = move || {
        let ready = ready.clone();
        async move { answer(&ready().await).into_response() }
    };
    let router = Router::new()
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/readyz", get(readiness))
        .route("/metrics", get(async move || metrics.render()));
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
