//! Skipping without silence: a test whose service is not configured prints so, and fails under `REQUIRE=all`.

use std::io::Write as _;

/// The value of a variable, or `None` after printing `SKIPPED test: reason`.
///
/// # Panics
/// If the variable is not set and `REQUIRE=all`.
pub fn require_env(variable: &str, test: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => Some(value),
        _ if std::env::var("REQUIRE").as_deref() == Ok("all") => panic!("{test} needs {variable}"),
        _ => {
            // Straight to stderr: the test harness captures what `println!` prints in a passing test.
            let reason = "is not set (tests/run sets it)";
            let _written = writeln!(std::io::stderr(), "SKIPPED {test}: {variable} {reason}");
            None
        }
    }
}
