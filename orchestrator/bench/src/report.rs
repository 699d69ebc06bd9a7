//! The figures of a run.

use serde::Serialize;
use std::collections::BTreeMap;

/// The figures of a run. The names are stable: others compare runs by them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Sagas completed a second.
    pub sagas_per_second: f64,
    /// Requests sent in the measured period.
    pub started: u64,
    /// Sagas completed in the measured period.
    pub completed: u64,
    /// From the (intended) start to the response that reports the completion.
    pub latency_ms: LatencyMs,
    /// By the names of the processes, and their `total`.
    pub cpu_ms_per_saga: BTreeMap<String, f64>,
    /// By the names of the processes: the highest of one sample a second.
    pub rss_mb: BTreeMap<String, f64>,
    /// Transactions of the engine.
    pub commits_per_saga: Option<f64>,
    /// WAL flushes of PostgreSQL, if they are measured.
    pub flushes_per_saga: Option<f64>,
    /// Inputs in a transaction.
    pub batch_size: BatchSize,
}

/// Quantiles, in milliseconds; `None` if no saga completed.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyMs {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

/// Inputs in a transaction.
#[derive(Clone, Debug, Serialize)]
pub struct BatchSize {
    pub mean: Option<f64>,
    /// The bound of the highest bucket of `saga_commit_batch_size` that is not empty.
    pub max: Option<f64>,
}

impl Report {
    /// The report as text, a figure a line.
    pub fn text(&self) -> String {
        let LatencyMs { p50, p95, p99, max } = self.latency_ms;
        let [p50, p95, p99, max] = [p50, p95, p99, max].map(number);
        let [mean_batch, max_batch] = [self.batch_size.mean, self.batch_size.max].map(number);

        let rows = [
            ("sagas per second", format!("{:.1}", self.sagas_per_second)),
            ("started", self.started.to_string()),
            ("completed", self.completed.to_string()),
            (
                "latency (ms)",
                format!("p50 {p50}, p95 {p95}, p99 {p99}, max {max}"),
            ),
            ("CPU per saga (ms)", by_name(&self.cpu_ms_per_saga)),
            ("memory (MB)", by_name(&self.rss_mb)),
            ("commits per saga", number(self.commits_per_saga)),
            ("flushes per saga", number(self.flushes_per_saga)),
            ("batch size", format!("mean {mean_batch}, max {max_batch}")),
        ];
        rows.map(|(name, value)| format!("{name:<17}  {value}\n"))
            .concat()
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn by_name(values: &BTreeMap<String, f64>) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let values = values
        .iter()
        .map(|(name, value)| format!("{name} {value:.2}"));
    values.collect::<Vec<_>>().join(", ")
}

/// Rounded to three decimals: more are noise.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
