//! The command `workers`.

use clap::Parser;
use std::process::ExitCode;
use workers::cli::{Cli, run};

/// For what is in C as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    workers::cli::init_log();
    let cli = Cli::parse();
    // One thread: a worker waits for its database and its bus, and scales by members. A second one would mostly be
    // woken to find nothing to do.
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => {
            eprintln!("no threads to run on: {error}");
            ExitCode::FAILURE
        }
    }
}
