//! What is logged, and how.

use clap::{Args, ValueEnum};

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
pub struct Logs {
    /// How log lines are written to stderr
    #[arg(
        long,
        env = "LOG_FORMAT",
        value_name = "text|json",
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// Which are: a level, or levels by module such as info,orchestrator::engine=debug; info unless given, for the demo
    /// warn
    #[arg(long = "log", env = "RUST_LOG", value_name = "FILTER", value_parser = filter)]
    pub log_filter: Option<String>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

fn filter(text: &str) -> Result<String, String> {
    let parsed = tracing_subscriber::EnvFilter::try_new(text);
    parsed
        .map(|_| text.to_owned())
        .map_err(|error| format!("a filter such as info or orchestrator=debug is wanted: {error}"))
}
