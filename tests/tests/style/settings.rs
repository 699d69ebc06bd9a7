//! `docs/settings.md` lists the settings of both programs as the programs print them.

use crate::tree::read;
use clap::CommandFactory;

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
    let updated = with_table(&updated, "workers", &workers_table());

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

/// The settings of `workers run`.
fn workers_table() -> String {
    let mut table =
        "| variable | flag | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    let command = workers::cli::Cli::command();
    let run = command
        .find_subcommand("run")
        .expect("`workers run` is a command");
    for arg in run.get_arguments() {
        let Some(variable) = arg.get_env().and_then(|name| name.to_str()) else {
            continue;
        };
        let defaults: Vec<_> = arg
            .get_default_values()
            .iter()
            .filter_map(|value| value.to_str())
            .collect();
        let default = defaults.join(",");
        let default = if default.is_empty() {
            String::new()
        } else {
            format!("`{default}`")
        };
        let flag = arg.get_long().unwrap_or_default();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        table += &format!("| `{variable}` | `--{flag}` | {default} | {help} |\n");
    }
    table
}
