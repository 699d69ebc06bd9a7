//! What `POST /orders` and starts in general go by.

use super::values;
use clap::Args;
use std::time::Duration;

/// What starts go by.
#[derive(Args, Clone, Debug)]
pub struct Orders {
    /// Version of the workflow `order` that POST /orders starts
    #[arg(long, env = "ORDER_VERSION", value_name = "NUMBER", default_value = "1",
          value_parser = values::number::<1, 2_147_483_647>)]
    pub order_version: usize,

    /// Currency of an order that names none (ISO 4217)
    #[arg(long, env = "CURRENCY", value_name = "CODE", default_value = "EUR", value_parser = values::currency)]
    pub currency: String,

    /// How long an Idempotency-Key is remembered
    #[arg(long, env = "IDEMPOTENCY_LIFE", value_name = "DURATION", default_value = "24h",
          value_parser = values::duration)]
    pub idempotency_life: Duration,
}

impl Orders {
    /// Adds what is wrong.
    pub fn check(&self, mistakes: &mut Vec<String>) {
        if self.idempotency_life < Duration::from_secs(60) {
            mistakes.push(
                "IDEMPOTENCY_LIFE is below 1m; a client that repeats a call may need longer"
                    .to_owned(),
            );
        }
    }
}
