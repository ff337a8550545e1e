//! The Prometheus metrics of this process.

use std::{sync::OnceLock, time::Duration};

use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the buckets of every histogram of seconds: from an index look-up to a long document.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0];
/// How often what was measured is moved into buckets, so that it does not pile up where nobody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);

/// What this process has measured. The first call begins the measuring: make it first thing in `main`, inside the
/// runtime.
pub fn handle() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(begin).clone()
}

fn begin() -> PrometheusHandle {
    let builder = match PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
    {
        Ok(builder) => builder,
        Err(error) => {
            tracing::error!(%error, "histograms get no buckets");
            PrometheusBuilder::new()
        }
    };
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("something else measures in this process already; /metrics stays empty");
    }
    describe();
    let kept = handle.clone();
    tokio::spawn(async move {
        let mut rounds = tokio::time::interval(UPKEEP);
        loop {
            rounds.tick().await;
            kept.run_upkeep();
        }
    });
    handle
}

fn describe() {
    metrics::describe_counter!("gristmill_http_requests_total", "Requests answered, by method, route and status");
    metrics::describe_histogram!("gristmill_http_request_seconds", Unit::Seconds, "Time until an answer began");
    metrics::describe_counter!("gristmill_jobs_submitted_total", "Jobs handed in, by kind");
    metrics::describe_counter!("gristmill_jobs_finished_total", "Attempts that ended, by kind and outcome");
    metrics::describe_histogram!("gristmill_job_wait_seconds", Unit::Seconds, "Time from due to started, by kind");
    metrics::describe_histogram!("gristmill_job_run_seconds", Unit::Seconds, "Time of an attempt, by kind and outcome");
}
