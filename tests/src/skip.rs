//! No silent skip: a test whose real part is missing says so, and fails where all parts are required.

/// The variable's value; `None`, with a line that says so, if it is not set. With `REQUIRE=all` that fails the test.
///
/// # Panics
/// If it is not set and `REQUIRE=all`.
pub fn need(variable: &str, test: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => Some(value),
        _ if std::env::var("REQUIRE").as_deref() == Ok("all") => panic!("{test} needs {variable}"),
        _ => {
            println!("SKIPPED {test}: {variable} is not set (tests/run sets it)");
            None
        }
    }
}
