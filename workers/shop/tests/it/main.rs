//! Integration tests of the built-in workers. Without `DATABASE_URL` the tests that need it print
//! `SKIPPED`; with `REQUIRE=all` they fail.

#[cfg(test)]
mod built_in;
#[cfg(test)]
mod kafka_outage;
#[cfg(test)]
mod support;
