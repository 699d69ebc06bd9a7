//! The tables of settings in the README are those of the commands. `BLESS=1 cargo test -p tests --test house` writes
//! them.

use crate::sources::{read, root};
use clap::CommandFactory;

/// The README with that table between its markers.
fn with_table(readme: &str, name: &str, table: &str) -> String {
    let marker = format!("<!-- settings of {name} -->\n");
    let (before, rest) = readme
        .split_once(&marker)
        .expect("the table's marker is there");
    let (_, after) = rest
        .split_once("<!-- end -->")
        .expect("the end of the table is marked");
    format!("{before}{marker}{table}<!-- end -->{after}")
}

/// What `workers run` can be told.
fn workers() -> String {
    let mut table =
        "| variable | flag | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    let command = workers::cli::Cli::command();
    let run = command
        .find_subcommand("run")
        .expect("workers run is a command");
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
        let (flag, help) = (
            arg.get_long().unwrap_or_default(),
            arg.get_help().map(ToString::to_string),
        );
        table += &format!(
            "| `{variable}` | `--{flag}` | {default} | {} |\n",
            help.unwrap_or_default()
        );
    }
    table
}

#[test]
fn the_readme_has_every_setting() {
    let readme = read("README.md").expect("README.md is there");
    let ours = with_table(
        &readme,
        "orchestrator",
        &orchestrator::cli::settings_markdown(),
    );
    let wanted = with_table(&ours, "workers", &workers());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(root().join("README.md"), &wanted).expect("the README can be written");
    }
    let differs = readme
        .lines()
        .zip(wanted.lines())
        .find(|(is, should)| is != should);
    assert!(
        readme == wanted,
        "settings in README.md are out of date, BLESS=1 writes them; first: {differs:?}"
    );
}
