//! The program `workers`.

use clap::Parser;
use std::process::ExitCode;
use workers::cli::{Cli, init_logging, run};

/// Also for the C libraries, librdkafka and SQLite.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    init_logging();
    let cli = Cli::parse();

    // One thread: a worker waits for its database and its bus, and scales by members. A second thread would mostly be
    // woken to find nothing to do.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => {
            eprintln!("error: failed to start the async runtime: {error}");
            ExitCode::FAILURE
        }
    }
}
