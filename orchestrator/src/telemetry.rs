//! Log lines and figures: what the process says about itself.

use crate::config::{LogFormat, Logs};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Upper bounds of latencies, in seconds: a step takes milliseconds, a person minutes.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 1800.0, 7200.0,
];
/// Upper bounds of counts, such as the inputs of a batch.
const COUNTS: &[f64] = &[
    1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0, 150.0, 200.0, 300.0, 400.0,
    500.0, 700.0, 1000.0, 2000.0, 5000.0,
];

/// Why the process cannot say anything about itself.
#[derive(Debug, thiserror::Error)]
#[error("log lines or figures cannot be set up: {0}")]
pub struct TelemetryError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Log lines go to stderr from now on: those that the settings name, `otherwise` if they name none. Once a process; a
/// second call changes nothing.
///
/// # Errors
/// If the filter is not one; settings are checked before, so it is.
pub fn log(logs: &Logs, otherwise: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(logs.log_filter.as_deref().unwrap_or(otherwise))
        .map_err(|error| TelemetryError(error.into()))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let set = match logs.log_format {
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    };
    if set.is_err() {
        tracing::debug!("log lines were set up before");
    }
    Ok(())
}

/// Counts from now on, for `/metrics`. Once a process.
///
/// # Errors
/// If something counts already.
pub fn count() -> Result<PrometheusHandle, TelemetryError> {
    let told = |error: metrics_exporter_prometheus::BuildError| TelemetryError(error.into());
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), COUNTS)
        })
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(told)
}
