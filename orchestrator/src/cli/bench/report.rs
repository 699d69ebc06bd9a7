//! What was measured, as it is printed.

use serde::Serialize;
use std::collections::BTreeMap;

/// The figures of one run. The names are fixed; others compare by them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Completed a second.
    pub sagas_per_second: f64,
    /// Requests sent while counting.
    pub started: u64,
    /// Sagas completed while counting.
    pub completed: u64,
    /// From the (intended) start to the answer that says it completed.
    pub latency_ms: LatencyMs,
    /// By the names given with `--pid`, and their `total`.
    pub cpu_ms_per_saga: BTreeMap<String, f64>,
    /// By name: the most seen, sampled each second.
    pub rss_mb: BTreeMap<String, f64>,
    /// The engine's transactions.
    pub commits_per_saga: Option<f64>,
    /// PostgreSQL's WAL flushes; only with DATABASE_URL.
    pub flushes_per_saga: Option<f64>,
    /// Inputs a transaction.
    pub batch_size: BatchSize,
}

/// Quantiles, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyMs {
    /// Half of all stayed within.
    pub p50: Option<f64>,
    /// 95 % did.
    pub p95: Option<f64>,
    /// 99 % did.
    pub p99: Option<f64>,
    /// All did.
    pub max: Option<f64>,
}

/// Inputs a transaction.
#[derive(Clone, Debug, Serialize)]
pub struct BatchSize {
    /// On average.
    pub mean: Option<f64>,
    /// The bound of the highest bucket of `saga_commit_batch_size` that holds any.
    pub max: Option<f64>,
}

impl Report {
    /// For people.
    pub fn lines(&self) -> String {
        let some = |value: Option<f64>| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
        };
        let by_name = |map: &BTreeMap<String, f64>| {
            let each = map
                .iter()
                .map(|(name, value)| format!("{name} {value:.2}"))
                .collect::<Vec<_>>();
            if each.is_empty() {
                "-".to_owned()
            } else {
                each.join(", ")
            }
        };
        let LatencyMs { p50, p95, p99, max } = self.latency_ms;
        let latency = format!(
            "p50 {}, p95 {}, p99 {}, max {}",
            some(p50),
            some(p95),
            some(p99),
            some(max)
        );
        let batch = format!(
            "mean {}, max {}",
            some(self.batch_size.mean),
            some(self.batch_size.max)
        );
        let rows = [
            ("sagas a second", format!("{:.1}", self.sagas_per_second)),
            ("started", self.started.to_string()),
            ("completed", self.completed.to_string()),
            ("latency (ms)", latency),
            ("CPU a saga (ms)", by_name(&self.cpu_ms_per_saga)),
            ("memory (MB)", by_name(&self.rss_mb)),
            ("commits a saga", some(self.commits_per_saga)),
            ("flushes a saga", some(self.flushes_per_saga)),
            ("batch size", batch),
        ];
        rows.map(|(name, value)| format!("{name:<16}  {value}\n"))
            .concat()
    }
}

/// Rounded to three digits behind the point: more is noise.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
