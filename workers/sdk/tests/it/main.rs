//! Integration tests of the SDK with its databases and its bus. Without `DATABASE_URL` and
//! `KAFKA_BROKERS` the tests that need them print `SKIPPED`; with `REQUIRE=all` they fail.

#[cfg(test)]
mod kafka;
#[cfg(test)]
mod ledger_external;
#[cfg(test)]
mod ledger_faults;
#[cfg(test)]
mod ledger_table;
#[cfg(test)]
mod ledger_transactional;
#[cfg(test)]
mod support;
