//! The command line: settings in, exit codes out. 0 ok, 1 failed, 2 usage.

mod args;
mod flags;
mod gateway;
mod health;
mod reconcile;
mod run;
mod settings;

pub use args::{Cli, init_logging, run};
pub use settings::settings_markdown;
