//! A run: warm-up, measured period, drain.

use crate::connection::{InvalidUrl, Request};
use crate::load::{Counts, Load, LoadModel};
use crate::processes::{self, ProcessTarget};
use crate::report::{BatchSize, LatencyMs, Report, rounded};
use crate::scrape::CommitMetrics;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How often memory is sampled.
const MEMORY_INTERVAL: Duration = Duration::from_secs(1);
/// How long a closed loop may take to drain; what it still starts then is not counted.
const CLOSED_LOOP_DRAIN: Duration = Duration::from_secs(5);
/// How long an open loop may take to drain, where every start counts: a server answers after 30 s at the latest.
const OPEN_LOOP_DRAIN: Duration = Duration::from_secs(32);
/// An order that is valid at its price: the built-in menu does not list the item for this store.
const ORDER: &str = concat!(
    r#"{"workflow":"order","input":{"customer":"bench","store":"bench","#,
    r#""items":[{"menu":"big mac","quantity":2,"price":550}],"currency":"EUR","fulfilment":"delivery","#,
    r#""payment":{"method":"card","token":"tok_visa"}}}"#
);

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchSettings {
    /// The URL of the server.
    pub server: String,
    pub model: LoadModel,
    /// How long the load runs before the measured period.
    pub warm_up: Duration,
    /// The measured period.
    pub duration: Duration,
    /// Processes whose cost is measured.
    pub processes: Vec<ProcessTarget>,
}

/// Figures of the server that the load generator cannot see.
#[async_trait]
pub trait ServerProbe: Send + Sync {
    /// The `/metrics` of the server.
    async fn metrics(&self) -> Result<String, ProbeError>;

    /// The WAL flushes of its database so far; `None` if they are not measured.
    async fn wal_flushes(&self) -> Result<Option<u64>, ProbeError>;
}

/// A figure cannot be read.
pub type ProbeError = Box<dyn Error + Send + Sync>;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    #[error("failed to sample the server: {0}")]
    Probe(#[source] ProbeError),
}

/// The cumulative figures at a moment.
struct Sample {
    at: Instant,
    cpu: BTreeMap<String, Duration>,
    commits: CommitMetrics,
    flushes: Option<u64>,
}

/// Runs a load and reports its figures. `warn` receives a line for each kind of start that did not complete.
///
/// # Errors
/// If the URL is not supported or the server cannot be sampled.
pub async fn run(
    settings: &BenchSettings,
    probe: &dyn ServerProbe,
    warn: &dyn Fn(String),
) -> Result<Report, BenchError> {
    let request = Request::post(&settings.server, "/sagas", "Prefer: wait=30\r\n", ORDER)?;
    let load = Load::new(
        request,
        settings.model,
        settings.warm_up + settings.duration,
    );
    let mut running = tokio::spawn(Arc::clone(&load).run());
    sleep(settings.warm_up).await;

    let before = sample(settings, probe).await?;
    load.start_counting();
    let memory = sample_memory(settings, before.at + settings.duration).await;
    load.stop_counting();
    let after = sample(settings, probe).await?;

    let drain = match settings.model {
        LoadModel::InFlight(_) => CLOSED_LOOP_DRAIN,
        LoadModel::Rate(_) => OPEN_LOOP_DRAIN,
    };
    if timeout(drain, &mut running).await.is_err() {
        running.abort();
    }

    let counts = load.counts().clone();
    warn_about_failures(settings.model, &counts, warn);
    Ok(report(&counts, &before, &after, memory))
}

async fn sample(settings: &BenchSettings, probe: &dyn ServerProbe) -> Result<Sample, BenchError> {
    let metrics = probe.metrics().await.map_err(BenchError::Probe)?;
    let flushes = probe.wal_flushes().await.map_err(BenchError::Probe)?;

    Ok(Sample {
        at: Instant::now(),
        cpu: processes::cpu_time(&settings.processes),
        commits: CommitMetrics::parse(&metrics),
        flushes,
    })
}

/// The highest memory of each process until then.
async fn sample_memory(settings: &BenchSettings, ends_at: Instant) -> BTreeMap<String, f64> {
    let mut highest = BTreeMap::new();

    while Instant::now() < ends_at {
        sleep_until((Instant::now() + MEMORY_INTERVAL).min(ends_at)).await;
        for (name, mb) in processes::memory_mb(&settings.processes) {
            let highest: &mut f64 = highest.entry(name).or_default();
            *highest = highest.max(rounded(mb));
        }
    }
    highest
}

fn warn_about_failures(model: LoadModel, counts: &Counts, warn: &dyn Fn(String)) {
    for (description, number) in &counts.others {
        warn(format!("{number} starts: {description}"));
    }

    // In a closed loop the starts in flight at the end are expected to be unanswered.
    let answered = counts.completed + counts.others.values().sum::<u64>();
    if matches!(model, LoadModel::Rate(_)) && counts.started > answered {
        warn(format!("{} starts: no answer", counts.started - answered));
    }
}

fn report(
    counts: &Counts,
    before: &Sample,
    after: &Sample,
    rss_mb: BTreeMap<String, f64>,
) -> Report {
    let seconds = (after.at - before.at).as_secs_f64();
    let sagas = counts.completed.max(1) as f64;
    let per_saga = |count: f64| (counts.completed > 0).then(|| rounded(count / sagas));

    let mut cpu_ms_per_saga = BTreeMap::new();
    for (name, cpu) in &after.cpu {
        let used = cpu.saturating_sub(before.cpu.get(name).copied().unwrap_or_default());
        cpu_ms_per_saga.insert(name.clone(), rounded(used.as_secs_f64() * 1000.0 / sagas));
    }
    cpu_ms_per_saga.insert("total".to_owned(), rounded(cpu_ms_per_saga.values().sum()));

    let commits = after.commits.since(&before.commits);
    let flushes = after
        .flushes
        .zip(before.flushes)
        .map(|(after, before)| after.saturating_sub(before));
    let quantile = |share| counts.latencies.quantile_ms(share).map(rounded);

    Report {
        sagas_per_second: rounded(counts.completed as f64 / seconds),
        started: counts.started,
        completed: counts.completed,
        latency_ms: LatencyMs {
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            max: counts.latencies.max_ms().map(rounded),
        },
        cpu_ms_per_saga,
        rss_mb,
        commits_per_saga: per_saga(commits.commits),
        flushes_per_saga: flushes.and_then(|flushes| per_saga(flushes as f64)),
        batch_size: BatchSize {
            mean: commits.mean_batch().map(rounded),
            max: commits.max_batch(),
        },
    }
}
