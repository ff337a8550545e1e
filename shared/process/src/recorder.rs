//! The Prometheus metrics of this process.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// From a millisecond to ten minutes: what both a request and a job may take.
const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// What this process has counted. The first call begins the counting; call it first thing in `main`.
pub fn handle() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let matcher = Matcher::Suffix("_seconds".to_owned());
            let builder = match PrometheusBuilder::new().set_buckets_for_metric(matcher, &SECONDS) {
                Ok(builder) => builder,
                Err(error) => {
                    tracing::error!(%error, "histograms get no buckets");
                    PrometheusBuilder::new()
                }
            };
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("something else counts in this process already");
            }
            handle
        })
        .clone()
}
