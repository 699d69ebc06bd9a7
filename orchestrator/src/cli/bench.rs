//! `orchestrator bench`: throughput, latency and cost of a server.

use super::client::{Client, Remote};
use super::embedded_process::EmbeddedProcess;
use super::exit::{Exit, Failure};
use super::flags::Flags;
use super::output::{Form, print};
use crate::config::BenchSettings as BenchEnvironment;
use crate::db;
use async_trait::async_trait;
use clap::Args;
use saga_bench::{
    BenchError, BenchSettings, LoadModel, ProbeError, ProcessTarget, ServerProbe, max_open_files,
};
use saga_settings::{Secret, parse};
use std::time::Duration;

/// A server that is not ready within this time has failed to start.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Open files beside the connections of the load.
const OTHER_FILES: u64 = 50;

/// Measure throughput, latency and cost of a running server
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator bench --embedded --in-flight 100 --duration 10s
  orchestrator bench --server http://127.0.0.1:8080 --rate 20 --duration 30s
  orchestrator bench --in-flight 500 --duration 30s --pid server=41 --pid postgres=42 --pid kafka=43 -o json")]
#[group(id = "model", required = true, multiple = false, args = ["in_flight", "rate"])]
pub struct Bench {
    /// Closed loop: keep this many sagas in flight
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=4000))]
    in_flight: Option<u64>,

    /// Open loop: start this many sagas a second; latency counts from the intended start
    #[arg(long, value_name = "PER SECOND", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: Option<u64>,

    /// How long to measure
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse::duration)]
    duration: Duration,

    /// How long the load runs before it is measured
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse::duration)]
    warm_up: Duration,

    /// A process to measure, with its descendants; may be repeated
    #[arg(long = "pid", value_name = "NAME=PID")]
    processes: Vec<ProcessTarget>,

    /// Start an embedded server for the run
    #[arg(long)]
    embedded: bool,

    #[command(flatten)]
    environment: Flags<BenchEnvironment>,

    #[command(flatten)]
    remote: Remote,
}

impl Bench {
    /// Runs the load and prints the report.
    ///
    /// # Errors
    /// If the server is not ready, or no saga completed.
    pub async fn run(mut self) -> Result<Exit, Failure> {
        self.check_open_files()?;
        // An embedded server does not use the database.
        let database_url = self
            .environment
            .read()?
            .database_url
            .filter(|_| !self.embedded);

        let embedded = match self.embedded {
            true => Some(EmbeddedProcess::start().await?),
            false => None,
        };
        if let Some(server) = &embedded {
            self.remote.server = server.url().to_owned();
            self.processes.push(ProcessTarget {
                name: "server".to_owned(),
                pid: server.pid(),
            });
        }

        let client = Client::new(&self.remote)?;
        client.wait_until_ready(READY_TIMEOUT).await?;
        let probe = HttpProbe {
            client,
            database_url,
        };
        let warn = |line: String| eprintln!("orchestrator: {line}");
        let report = saga_bench::run(&self.settings(), &probe, &warn).await?;

        if let Some(server) = embedded {
            server.stop().await;
        }
        print(&match self.remote.output.form {
            Form::Table | Form::Id => report.text(),
            Form::Json | Form::Jsonl => {
                let json = serde_json::to_string(&report);
                json.map_err(|error| Failure::failed("failed to serialise the report", error))?
                    + "\n"
            }
        })?;

        match report.completed {
            0 => Err(Failure::new(Exit::Failed, "no saga completed")),
            _ => Ok(Exit::Ok),
        }
    }

    fn settings(&self) -> BenchSettings {
        let model = match (self.in_flight, self.rate) {
            (Some(sagas), _) => LoadModel::InFlight(sagas),
            (None, rate) => LoadModel::Rate(rate.unwrap_or(1)),
        };
        BenchSettings {
            server: self.remote.server.clone(),
            model,
            warm_up: self.warm_up,
            duration: self.duration,
            processes: self.processes.clone(),
        }
    }

    /// Each connection is an open file.
    fn check_open_files(&self) -> Result<(), Failure> {
        let needed = self.in_flight.unwrap_or(0) + OTHER_FILES;
        match max_open_files() {
            Some(limit) if limit < needed => Err(Failure::new(
                Exit::Usage,
                format!(
                    "the limit of open files is {limit}; expected at least {needed}: run `ulimit -n {needed}` \
                     here and for the server"
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        let exit = match error {
            BenchError::Url(_) => Exit::Usage,
            BenchError::Probe(_) => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

/// Reads the figures of a server and of its database.
struct HttpProbe {
    client: Client,
    /// If it is set, WAL flushes are counted.
    database_url: Option<Secret>,
}

#[async_trait]
impl ServerProbe for HttpProbe {
    async fn metrics(&self) -> Result<String, ProbeError> {
        self.client
            .get("/metrics", &[])
            .await
            .map_err(|failure| failure.message.into())
    }

    async fn wal_flushes(&self) -> Result<Option<u64>, ProbeError> {
        match &self.database_url {
            Some(url) => Ok(db::wal_flushes(url.expose()).await?),
            None => Ok(None),
        }
    }
}
