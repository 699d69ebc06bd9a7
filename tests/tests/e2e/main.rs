//! End-to-end tests against real processes: orders, faults and races.

mod absent_workers;
mod bad_input;
mod embedded;
mod faults;
mod orders;
mod races;
mod scenarios;
