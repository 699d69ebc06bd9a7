//! `orchestrator bench`: how many sagas a second, how long each takes, and what it costs.

mod connection;
mod latencies;
mod load;
mod processes;
mod report;
mod scrape;

use super::client::{Client, Remote};
use super::embedded::Child;
use super::exit::{Exit, Failure};
use super::output::{Form, print};
use crate::cli::flags::Flags;
use crate::config::BenchSettings;
use crate::db;
use clap::Args;
use connection::Request;
use load::{Counted, Load, Pace};
use processes::Watched;
use report::{BatchSize, LatencyMs, Report, rounded};
use saga_settings::{Secret, parse};
use scrape::Commits;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Memory is looked at so often.
const SAMPLE: Duration = Duration::from_secs(1);
/// A server that is not ready by then will not be.
const READY_MOST: Duration = Duration::from_secs(20);
/// After the end, sagas under way may take so long.
const DRAIN: Duration = Duration::from_secs(5);
/// In an open loop all that was started counts: a server waits 30 s for a saga's end, then answers all the same.
const DRAIN_OPEN: Duration = Duration::from_secs(32);
/// Open files beside the connections under load.
const OTHER_FILES: u64 = 50;
/// An order that every store takes at its price: the built_in menu does not list this one.
const BODY: &str = concat!(
    r#"{"workflow":"order","input":{"customer":"bench","store":"bench","#,
    r#""items":[{"menu":"big mac","quantity":2,"price":550}],"currency":"EUR","fulfilment":"delivery","#,
    r#""payment":{"method":"card","token":"tok_visa"}}}"#
);

/// Measure throughput, latency and cost of a running server
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator bench --embedded --in-flight 100 --duration 10s
  orchestrator bench --server http://127.0.0.1:8080 --rate 20 --duration 30s
  orchestrator bench --in-flight 500 --duration 30s --pid server=41 --pid postgres=42 --pid kafka=43 -o json")]
#[group(id = "pace", required = true, multiple = false, args = ["in_flight", "rate"])]
pub struct Bench {
    /// Closed loop: keep so many sagas under way
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=4000))]
    in_flight: Option<u64>,

    /// Open loop: start so many a second; latency counts from the moment a start was due
    #[arg(long, value_name = "PER SECOND", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: Option<u64>,

    /// How long to measure
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse::duration)]
    duration: Duration,

    /// How long to run before, uncounted
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse::duration)]
    warm_up: Duration,

    /// A process to measure, with all its descendants; may be repeated
    #[arg(long = "pid", value_name = "NAME=PID")]
    pids: Vec<Watched>,

    /// Start an embedded server of its own for the run
    #[arg(long)]
    embedded: bool,

    #[command(flatten)]
    settings: Flags<BenchSettings>,

    /// If it is set, the WAL flushes of PostgreSQL are counted too.
    #[arg(skip)]
    database: Option<Secret>,

    #[command(flatten)]
    remote: Remote,
}

/// What is counted elsewhere, at a moment.
struct Sample {
    at: Instant,
    cpu: BTreeMap<String, Duration>,
    commits: Commits,
    flushes: Option<u64>,
}

impl Bench {
    /// Measures.
    ///
    /// # Errors
    /// If there is no server, or nothing was completed.
    pub async fn run(mut self) -> Result<Exit, Failure> {
        self.room()?;
        // An embedded server does not use the database.
        self.database = self
            .settings
            .read()?
            .database_url
            .filter(|_| !self.embedded);
        let child = if self.embedded {
            Some(Child::start().await?)
        } else {
            None
        };
        if let Some(child) = &child {
            self.remote.server = child.url().to_owned();
            self.pids.push(Watched {
                name: "server".to_owned(),
                pid: child.pid(),
            });
        }
        let client = Client::new(&self.remote)?;
        client.ready(READY_MOST).await?;
        let request = Request::post(&self.remote.server, "/sagas", "Prefer: wait=30\r\n", BODY);
        let request = request.map_err(|words| Failure::new(Exit::Usage, words))?;
        let report = self.measure(&client, request).await?;
        if let Some(child) = child {
            child.stop().await;
        }
        print(&match self.remote.output.form {
            Form::Table | Form::Id => report.lines(),
            Form::Json | Form::Jsonl => {
                let json = serde_json::to_string(&report);
                json.map_err(|error| Failure::failed("the figures have no JSON form", error))?
                    + "\n"
            }
        })?;
        if report.completed == 0 {
            return Err(Failure::new(Exit::Failed, "no saga was completed"));
        }
        Ok(Exit::Ok)
    }

    /// A connection is an open file.
    fn room(&self) -> Result<(), Failure> {
        let wanted = self.in_flight.unwrap_or(0) + OTHER_FILES;
        match processes::open_files_most() {
            Some(most) if most < wanted => {
                let words = format!(
                    "{wanted} open files are needed, and {most} allowed: `ulimit -n {wanted}`, here and for the server"
                );
                Err(Failure::new(Exit::Usage, words))
            }
            _ => Ok(()),
        }
    }

    async fn measure(&self, client: &Client, request: Request) -> Result<Report, Failure> {
        let pace = self
            .in_flight
            .map_or_else(|| Pace::Rate(self.rate.unwrap_or(1)), Pace::InFlight);
        let load = Load::new(request, pace, self.warm_up + self.duration);
        let mut running = tokio::spawn(std::sync::Arc::clone(&load).run());
        sleep(self.warm_up).await;
        let before = self.sample(client).await?;
        load.count();
        let mut memory = BTreeMap::new();
        let until = before.at + self.duration;
        while Instant::now() < until {
            sleep_until((Instant::now() + SAMPLE).min(until)).await;
            for (name, mb) in processes::memory_mb(&self.pids) {
                let most: &mut f64 = memory.entry(name).or_default();
                *most = most.max(rounded(mb));
            }
        }
        load.stop_counting();
        let after = self.sample(client).await?;
        let drain = if self.rate.is_some() {
            DRAIN_OPEN
        } else {
            DRAIN
        };
        if tokio::time::timeout(drain, &mut running).await.is_err() {
            running.abort();
        }
        let counted = load.counted().clone();
        for (what, times) in &counted.others {
            eprintln!("orchestrator: {times} starts: {what}");
        }
        let answered = counted.completed + counted.others.values().sum::<u64>();
        if self.rate.is_some() && counted.started > answered {
            eprintln!(
                "orchestrator: {} starts: no answer",
                counted.started - answered
            );
        }
        Ok(report(&counted, &before, &after, memory))
    }

    async fn sample(&self, client: &Client) -> Result<Sample, Failure> {
        let commits = Commits::read(&client.get("/metrics", &[]).await?);
        let flushes = match &self.database {
            Some(url) => db::wal_flushes(url.expose()).await.map_err(|error| {
                Failure::failed(
                    "DATABASE_URL is set, and its flushes cannot be counted",
                    error,
                )
            })?,
            None => None,
        };
        Ok(Sample {
            at: Instant::now(),
            cpu: processes::cpu(&self.pids),
            commits,
            flushes,
        })
    }
}

fn report(
    counted: &Counted,
    before: &Sample,
    after: &Sample,
    rss_mb: BTreeMap<String, f64>,
) -> Report {
    let seconds = (after.at - before.at).as_secs_f64();
    let sagas = counted.completed.max(1) as f64;
    let per_saga = |count: f64| (counted.completed > 0).then(|| rounded(count / sagas));
    let mut cpu = BTreeMap::new();
    for (name, used) in &after.cpu {
        let used = used.saturating_sub(before.cpu.get(name).copied().unwrap_or_default());
        cpu.insert(name.clone(), rounded(used.as_secs_f64() * 1000.0 / sagas));
    }
    cpu.insert("total".to_owned(), rounded(cpu.values().sum()));
    let commits = after.commits.since(&before.commits);
    let flushes = after
        .flushes
        .zip(before.flushes)
        .map(|(after, before)| after.saturating_sub(before));
    let quantile = |share| counted.latencies.quantile_ms(share).map(rounded);
    Report {
        sagas_per_second: rounded(counted.completed as f64 / seconds),
        started: counted.started,
        completed: counted.completed,
        latency_ms: LatencyMs {
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            max: counted.latencies.max_ms().map(rounded),
        },
        cpu_ms_per_saga: cpu,
        rss_mb,
        commits_per_saga: per_saga(commits.commits),
        flushes_per_saga: flushes.and_then(|flushes| per_saga(flushes as f64)),
        batch_size: BatchSize {
            mean: commits.mean().map(rounded),
            max: commits.max(),
        },
    }
}
