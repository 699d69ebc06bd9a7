//! The command line: settings in, exit codes out. 0 ok, 1 failed, 2 usage.

mod args;
mod books;
mod gateway;
mod health;
mod run;
mod settings;

pub use args::{Cli, init_log, run};
