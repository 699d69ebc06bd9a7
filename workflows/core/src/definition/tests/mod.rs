mod conditions;
mod format;
mod hostile;
mod reading;
mod redaction;
mod rules;
mod schemas;

use super::*;

/// The definition in a text that has to be right.
fn valid(text: &str) -> Definition {
    Definition::parse("test.yaml", text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The mistakes of a text that has to be wrong, a line each.
fn mistakes(text: &str) -> Vec<String> {
    match Definition::parse("f.yaml", text) {
        Err(mistakes) => mistakes.lines().collect(),
        Ok(definition) => panic!("this is valid: {}", definition.canonical()),
    }
}
