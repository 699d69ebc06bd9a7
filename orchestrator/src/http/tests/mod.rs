//! Tests of the router with a real engine on SQLite. The tests send the replies of the workers.

mod cancel;
mod errors;
mod fixture;
mod health;
mod idempotency;
mod lists;
mod metrics;
mod openapi;
mod orders;
mod pages;
mod sagas;
mod workflows;

use fixture::{Fixture, TRIP, TestResponse, order_body, response_id};
