//! The commands of the program `workers`.

use super::flags::Flags;
use super::settings::{
    GatewaySettings, MigrateSettings, ReconcileSettings, RunConfig, settings_table,
};
use super::{gateway, reconcile, run as run_workers};
use clap::{Parser, Subcommand};
use saga_settings::ConfigErrors;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Exit code of an invalid command line or setting.
const USAGE: u8 = 2;

/// Stateless workers of the saga orchestrator: they execute and compensate the steps of its workflows
#[derive(Debug, Parser)]
#[command(
    name = "workers",
    version,
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage. RUST_LOG sets the level of the log."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one or more workers in this process, as in `workers run order pay store deliver`
    Run {
        /// The workers: order, pay, store, deliver
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        flags: Flags<RunConfig>,
    },
    /// Run the simulated payment gateway
    Gateway {
        #[command(flatten)]
        flags: Flags<GatewaySettings>,
        /// Directory of its charges; in memory if not given
        #[arg(long, value_name = "DIRECTORY")]
        data: Option<PathBuf>,
    },
    /// Create or migrate the tables of workers
    Migrate {
        /// The workers: order, pay, store, deliver
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        flags: Flags<MigrateSettings>,
    },
    /// Compare all ledgers with their effects, saga by saga, while nothing is in flight
    Reconcile {
        #[command(flatten)]
        flags: Flags<ReconcileSettings>,
    },
    /// Print all settings
    Settings {
        /// Print them as Markdown
        #[arg(long)]
        markdown: bool,
    },
}

/// Sends log lines to stderr, filtered by RUST_LOG.
pub fn init_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new("info,rdkafka=warn,librdkafka=warn,sqlx=warn")
    });
    let use_color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();

    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(use_color)
        .init();
}

/// Runs the command.
pub async fn run(cli: Cli) -> ExitCode {
    let shutdown = shutdown_on_signals();

    let result = match cli.command {
        Command::Run { names, flags } => match run_workers::read_settings(&names, &flags) {
            Ok(settings) => Ok(run_workers::run(settings, shutdown).await),
            Err(errors) => Err(errors),
        },
        Command::Gateway { flags, data } => match flags.read() {
            Ok(settings) => Ok(gateway::run(settings.listen, data, shutdown).await),
            Err(errors) => Err(errors),
        },
        Command::Migrate { names, flags } => match flags.read() {
            Ok(settings) => Ok(run_workers::migrate(&names, &settings.ledgers, shutdown).await),
            Err(errors) => Err(errors),
        },
        Command::Reconcile { flags } => match flags.read() {
            Ok(settings) => Ok(reconcile::run(&settings).await),
            Err(errors) => Err(errors),
        },
        Command::Settings { markdown } => {
            let table = settings_table();
            print!(
                "{}",
                if markdown {
                    table.markdown()
                } else {
                    table.text()
                }
            );
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|errors| usage(&errors))
}

/// Reports all errors of the settings.
fn usage(errors: &ConfigErrors) -> ExitCode {
    for error in errors.iter() {
        eprintln!("error: {error}");
    }
    ExitCode::from(USAGE)
}

/// A token that SIGTERM or Ctrl-C cancels.
fn shutdown_on_signals() -> CancellationToken {
    let shutdown = CancellationToken::new();
    let trigger = shutdown.clone();

    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            },
            Err(error) => {
                tracing::warn!(%error, "failed to listen for SIGTERM");
                let _ = tokio::signal::ctrl_c().await;
            }
        }

        tracing::info!("shutting down, commands in flight will be completed");
        trigger.cancel();
    });
    shutdown
}
