//! The settings: one small struct a concern, each an environment variable and a flag; checked as a whole at start.
//!
//! A flag wins over its variable. What holds a secret has no flag, since command lines are seen by everyone on the
//! machine, but a twin `NAME_FILE`. There is no configuration file.

mod database;
mod engine;
mod http;
mod kafka;
mod logs;
mod mistakes;
mod orders;
mod secret;
mod table;
mod values;
mod workers;

pub use database::{Database, Migrate};
pub use engine::Engine;
pub use http::{Auth, Http};
pub use kafka::Kafka;
pub use logs::{LogFormat, Logs};
pub use mistakes::{Check, ParseError, parse};
pub use orders::Orders;
pub use secret::{Environment, Secret};
pub use table::{Row, rows};
pub use values::{base_url, duration};
pub use workers::{Auto, Data, InProcess};
