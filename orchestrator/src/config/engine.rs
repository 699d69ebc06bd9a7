//! How the engine gathers and writes.

use super::values;
use clap::Args;

/// How the engine gathers and writes.
#[derive(Args, Clone, Debug)]
pub struct Engine {
    /// Loops that sagas are spread over, by Kafka's partition; each writes one batch at a time
    #[arg(long, env = "SHARDS", value_name = "NUMBER", default_value = "4", value_parser = values::number::<1, 64>)]
    pub shards: usize,

    /// Inputs that one transaction carries at the most
    #[arg(long, env = "BATCH_MOST", value_name = "NUMBER", default_value = "500",
          value_parser = values::number::<1, 5_000>)]
    pub batch_most: usize,

    /// Starts that may wait in a loop; past it a start is answered 503 with Retry-After
    #[arg(long, env = "STARTS_MOST", value_name = "NUMBER", default_value = "2000",
          value_parser = values::number::<1, 100_000>)]
    pub starts_most: usize,
}
