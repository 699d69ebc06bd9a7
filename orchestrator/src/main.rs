//! The program `orchestrator`.

use clap::Parser;
use orchestrator::cli::{Cli, Exit};
use std::process::ExitCode;

/// Also for the C libraries, librdkafka and SQLite.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();

    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("orchestrator: failed to start the async runtime: {error}");
            return Exit::Failed.into();
        }
    };

    let exit = runtime.block_on(cli.run()).unwrap_or_else(|failure| {
        for line in failure.message.lines() {
            eprintln!("orchestrator: {line}");
        }
        failure.exit
    });
    exit.into()
}
