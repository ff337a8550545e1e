//! `/healthz`, `/readyz` and `/metrics` for a process that serves nothing else.

use std::{net::SocketAddr, time::Duration};

use axum::{Json, Router, http::StatusCode, routing::get};
use futures::future::BoxFuture;
use gristmill_engine::{Engine, worker::Health};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// One thing a process needs, and whether it has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What: `database`, `delivery` ….
    pub name: &'static str,
    /// What is wrong, in a sentence that tells no cause: who asks `/readyz` need not be one of us.
    pub problem: Option<&'static str>,
}

impl Check {
    /// Waits a few seconds for `check`. The cause of a failure goes to the log.
    pub async fn of<E: std::fmt::Display>(
        name: &'static str,
        problem: &'static str,
        check: impl Future<Output = Result<(), E>>,
    ) -> Self {
        let cause = match timeout(PATIENCE, check).await {
            Ok(Ok(())) => return Self { name, problem: None },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        tracing::warn!(check = name, cause, "not ready");
        Self { name, problem: Some(problem) }
    }
}

/// Whether the database and the delivery can be reached, the schema is up to date, and the fetching loops of a worker
/// (if there is one) live.
pub async fn checks(engine: &Engine, worker: Option<&Health>) -> Vec<Check> {
    let schema = async {
        match gristmill_migrations::pending(engine.db().pool()).await {
            Ok(0) => Ok(()),
            Ok(pending) => Err(format!("{pending} migrations are pending")),
            Err(error) => Err(error.to_string()),
        }
    };
    let (database, migrations, delivery) = tokio::join!(
        Check::of("database", "Postgres does not answer.", engine.db().ping()),
        Check::of("migrations", "The database's schema is older than this version, or cannot be read.", schema),
        Check::of("delivery", "The delivery of jobs (Redis) does not answer.", engine.delivery().check()),
    );
    let mut checks = vec![database, migrations, delivery];
    if let Some(health) = worker {
        let problem = "The worker of this process has stopped asking for work; restart it.";
        checks.push(Check { name: "worker", problem: (!health.is_alive()).then_some(problem) });
    }
    checks
}

/// The answer to `/readyz`.
pub fn answer(checks: &[Check]) -> (StatusCode, Json<Value>) {
    let ready = checks.iter().all(|check| check.problem.is_none());
    let all: Map<String, Value> = checks
        .iter()
        .map(|check| {
            let said = match check.problem {
                None => json!({ "ok": true }),
                Some(problem) => json!({ "ok": false, "problem": problem }),
            };
            (check.name.to_owned(), said)
        })
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "checks": all })))
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
        async move { answer(&ready().await) }
    };
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .route("/metrics", get(async move || metrics.render()));
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
