//! `docs/settings.md` lists the settings of both programs as the programs print them.

use crate::tree::read;

/// Replaces the table between the markers of a program.
fn with_table(document: &str, program: &str, table: &str) -> String {
    let marker = format!("<!-- settings of {program} -->\n");
    let (before, rest) = document
        .split_once(&marker)
        .expect("the table's marker exists");
    let (_, after) = rest
        .split_once("<!-- end -->")
        .expect("the table's end is marked");
    format!("{before}{marker}{table}<!-- end -->{after}")
}

/// `UPDATE_DOCS=1` writes the tables.
#[test]
fn settings_page_matches_the_programs() {
    let document = read("docs/settings.md").expect("docs/settings.md exists");
    let updated = with_table(
        &document,
        "orchestrator",
        &orchestrator::cli::settings_markdown(),
    );
    let updated = with_table(&updated, "workers", &workers::cli::settings_markdown());

    if std::env::var_os("UPDATE_DOCS").is_some() {
        let path = crate::tree::root().join("docs/settings.md");
        std::fs::write(path, &updated).expect("docs/settings.md is writable");
        return;
    }
    let difference = document
        .lines()
        .zip(updated.lines())
        .find(|(stored, printed)| stored != printed);
    assert!(
        document == updated,
        "UPDATE_DOCS=1 updates docs/settings.md; first difference: {difference:?}"
    );
}
