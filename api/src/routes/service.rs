//! `/healthz`, `/readyz` and `/metrics`: for those who run Gristmill.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use gristmill_process::probe::{self, Check};
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::app::Shared;

/// For how long an answer is given again: checks cost round trips and a write, and anybody may ask.
const BELIEVED: Duration = Duration::from_millis(500);

/// What was found for the last `/readyz`, and when. Whoever asks meanwhile waits for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastChecks(Arc<Mutex<Option<Found>>>);

/// What was found, and when.
#[derive(Debug)]
struct Found(Instant, Vec<Check>);

/// How a process is.
#[derive(Debug, ToSchema)]
pub struct Readiness {
    /// True if every check is.
    pub ready: bool,
    /// Each check by name.
    pub checks: BTreeMap<String, CheckBody>,
}

/// How a part is.
#[derive(Debug, ToSchema)]
pub struct CheckBody {
    /// Whether it is as it should be.
    pub ok: bool,
    /// What is wrong, in a sentence; absent where nothing is.
    pub problem: Option<String>,
}

/// Tell that the process lives.
#[utoipa::path(get, path = "/healthz", tag = "Service", security(()),
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")))]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Tell whether the process can do its work: the stores are reachable, the schema is up to date, and its worker, if it
/// runs one, asks for work.
#[utoipa::path(get, path = "/readyz", tag = "Service", security(()),
    responses((status = 200, description = "It can", body = Readiness),
              (status = 503, description = "It cannot; the checks say why", body = Readiness)))]
pub(crate) async fn ready(State(app): State<Shared>, Extension(last): Extension<LastChecks>) -> Response {
    let mut last = last.0.lock().await;
    let found = match last.take().filter(|Found(at, _)| at.elapsed() < BELIEVED) {
        Some(believed) => believed,
        None => {
            let checks = look(&app).await;
            Found(Instant::now(), checks)
        }
    };
    let answer = probe::answer(&found.1).into_response();
    *last = Some(found);
    answer
}

async fn look(app: &Shared) -> Vec<Check> {
    let (mut checks, files) = tokio::join!(
        probe::checks(&app.engine, app.worker.as_ref()),
        Check::of("files", "Files cannot be written.", app.files.check()),
    );
    checks.push(files);
    checks
}

/// Show measurements in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "Service", security(()),
    responses((status = 200, description = "The measurements", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<Shared>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, app.metrics.render()).into_response()
}
