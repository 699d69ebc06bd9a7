//! The command: reads the line, does it, and says how it ended.

use orchestrator::cli::{Cli, Exit};
use orchestrator::config::{self, ParseError};
use std::process::ExitCode;

/// For what is in C as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let line: Vec<_> = std::env::args_os().collect();
    let cli = match config::parse::<Cli>(&line, &|name| std::env::var(name).ok()) {
        Ok(cli) => cli,
        Err(error) => return refused(error).into(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => {
            eprintln!("orchestrator: no threads can be had: {error}");
            return Exit::Failed.into();
        }
    };
    let exit = done.unwrap_or_else(|failure| {
        if !failure.words.is_empty() {
            eprintln!("orchestrator: {}", failure.words);
        }
        failure.exit
    });
    exit.into()
}

/// Tells all mistakes, or clap's own words: help goes to stdout, usage to stderr.
fn refused(error: ParseError) -> Exit {
    match error {
        ParseError::Usage(error) => {
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            if error.print().is_err() {
                return Exit::Failed;
            }
            exit
        }
        ParseError::Mistakes(mistakes) => {
            for mistake in mistakes {
                eprintln!("orchestrator: {mistake}");
            }
            Exit::Usage
        }
    }
}
