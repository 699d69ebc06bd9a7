//! Rules of the workspace that no standard lint checks. Each test lists every violation.

#[path = "style/documents.rs"]
mod documents;
#[path = "style/settings.rs"]
mod settings;
#[path = "style/tree.rs"]
mod tree;
#[path = "style/workspace.rs"]
mod workspace;

/// Fails with the list, unless it is empty.
fn assert_none(rule: &str, violations: Vec<String>) {
    assert!(
        violations.is_empty(),
        "{rule}:\n  {}",
        violations.join("\n  ")
    );
}
