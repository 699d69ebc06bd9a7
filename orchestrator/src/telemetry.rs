//! Log lines and metrics of the process.

use crate::config::{LogConfig, LogFormat};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Upper bounds of the buckets of durations, in seconds: a step takes from milliseconds to minutes.
const DURATION_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 1800.0, 7200.0,
];
/// Upper bounds of the buckets of counts, such as the inputs of a batch.
const COUNT_BUCKETS: &[f64] = &[
    1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0, 150.0, 200.0, 300.0, 400.0,
    500.0, 700.0, 1000.0, 2000.0, 5000.0,
];

/// Logging or metrics cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up logging or metrics: {0}")]
pub struct TelemetryError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Sends log lines to stderr from now on, filtered by the settings or else by `default_filter`. A second call in a
/// process has no effect.
///
/// # Errors
/// If the filter is invalid; the settings are checked before.
pub fn init_logging(logs: &LogConfig, default_filter: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(logs.filter.as_deref().unwrap_or(default_filter))
        .map_err(|error| TelemetryError(error.into()))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);

    let installed = match logs.format {
        LogFormat::Text => subscriber
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogFormat::Json => subscriber
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    };
    if installed.is_err() {
        tracing::debug!("logging was set up before");
    }
    Ok(())
}

/// Records metrics from now on, for `/metrics`. To be called once in a process.
///
/// # Errors
/// If a recorder is installed already.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), DURATION_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), COUNT_BUCKETS)
        })
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| TelemetryError(error.into()))
}
