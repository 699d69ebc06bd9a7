//! One binary for all that needs a database, a bus, or both. Without DATABASE_URL and KAFKA_BROKERS the tests that need
//! them say `SKIPPED`; with REQUIRE=all they fail.

#[cfg(test)]
mod away;
#[cfg(test)]
mod built_in;
#[cfg(test)]
mod kafka;
#[cfg(test)]
mod ledger_blame;
#[cfg(test)]
mod ledger_inside;
#[cfg(test)]
mod ledger_outside;
#[cfg(test)]
mod ledger_table;
#[cfg(test)]
mod support;
