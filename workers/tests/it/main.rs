//! One binary for all that needs a database, a bus, or both. Without DATABASE_URL and KAFKA_BROKERS the tests that need
//! them say `SKIPPED`; with REQUIRE=all they fail.

mod kafka;
mod ledger_inside;
mod ledger_outside;
mod ledger_table;
mod shipped;
mod support;
