//! One order each way, faults, and races, against real processes.

mod away;
mod bad_input;
mod embedded;
mod faults;
mod races;
mod scenes;
mod ways;
