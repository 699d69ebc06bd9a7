//! Tests of the rules, named after them (ARCHITECTURE.md has their numbers), one concern a file.

mod b1_rollback;
mod b2_pivot;
mod b3_revisions;
mod b4_replies;
mod b5_waiting;
mod b6_parked;
mod b6_paused;
mod b7_unconsumed;
mod c4_limits;
mod c5_timers;
mod c6_time;
mod cancel_table;
mod codes;
mod inputs;
mod matrix;
mod properties;
mod reminders;
mod schemas;
