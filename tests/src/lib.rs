//! Harness of the end-to-end tests: processes on a real PostgreSQL and Kafka are started, broken and checked.

pub mod api;
pub mod cluster;
pub mod embedded;
pub mod invariants;
pub mod process;
pub mod require;

use std::time::Duration;

/// The limit of every wait. Tests wait for states, and this is longer than any of them takes on a busy machine
/// with two cores.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(90);
