//! Real processes on a real PostgreSQL and a real Kafka: started, broken, and checked.

pub mod api;
pub mod cluster;
pub mod embedded;
pub mod invariants;
pub mod process;
pub mod skip;

use std::time::Duration;

/// Longer than anything here takes on a busy machine with two cores; tests wait for states, not for time.
pub const SOON: Duration = Duration::from_secs(90);
