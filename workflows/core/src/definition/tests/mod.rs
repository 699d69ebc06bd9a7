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
    Definition::parse("test.yaml", text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// The diagnostics of a text that has to be wrong, a line each.
fn diagnostics(text: &str) -> Vec<String> {
    match Definition::parse("f.yaml", text) {
        Err(diagnostics) => diagnostics.lines().collect(),
        Ok(definition) => panic!("this is valid: {}", definition.canonical()),
    }
}
