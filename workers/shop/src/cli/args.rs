//! What can be said on the command line.

use super::settings::{DatabaseArgs, RunArgs};
use super::{books, gateway, run as run_workers};
use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Workers of a saga orchestrator: they do its steps, and remember what they did.
#[derive(Debug, Parser)]
#[command(
    name = "workers",
    version,
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage. RUST_LOG sets the log."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run workers, several in one process if you like: `workers run order pay store deliver`
    Run(RunArgs),
    /// Run a payment gateway to try against
    Gateway {
        /// Where it listens
        #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8090")]
        listen: std::net::SocketAddr,
        /// A folder for its books; without it they are in memory
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Make the tables of workers
    Migrate {
        /// Which: order, pay, store, deliver
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// The books of the workers and of the payment gateway
    Books {
        #[command(subcommand)]
        command: Books,
    },
}

#[derive(Debug, Subcommand)]
enum Books {
    /// Compare all ledgers with the effects, saga by saga; to be asked when nothing is in flight
    Check(books::CheckArgs),
}

/// Log lines go to stderr, sentences first; RUST_LOG says how many.
pub fn init_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new("info,rdkafka=warn,librdkafka=warn,sqlx=warn")
    });
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    log.with_target(false).with_ansi(colour).init();
}

/// Does what was asked.
pub async fn run(cli: Cli) -> ExitCode {
    let shutdown = shutdown_on_signals();
    match cli.command {
        Command::Run(args) => run_workers::run(args, shutdown).await,
        Command::Gateway { listen, data } => gateway::run(listen, data, shutdown).await,
        Command::Migrate { names, database } => {
            run_workers::migrate(&names, &database, shutdown).await
        }
        Command::Books {
            command: Books::Check(args),
        } => books::check(&args).await,
    }
}

/// SIGTERM and ctrl-c begin the shutdown.
fn shutdown_on_signals() -> CancellationToken {
    let shutdown = CancellationToken::new();
    let begin = shutdown.clone();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            },
            Err(error) => {
                tracing::warn!("SIGTERM will not be heard: {error}");
                let _ = tokio::signal::ctrl_c().await;
            }
        }
        tracing::info!("asked to stop: finishing what is in hand");
        begin.cancel();
    });
    shutdown
}
