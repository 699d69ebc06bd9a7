//! Load generator for a saga orchestrator: throughput, latency, and what a saga costs.
//!
//! [`run`] starts sagas over HTTP and reports the figures of the measured period. What only the caller can read, such
//! as the metrics of the server, comes through [`ServerProbe`].

mod connection;
mod latencies;
mod load;
mod processes;
mod report;
mod run;
mod scrape;

pub use connection::InvalidUrl;
pub use load::LoadModel;
pub use processes::{InvalidTarget, ProcessTarget, max_open_files};
pub use report::{BatchSize, LatencyMs, Report};
pub use run::{BenchError, BenchSettings, ProbeError, ServerProbe, run};
