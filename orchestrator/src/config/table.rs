//! The table of all settings, read off the commands themselves, so that it cannot be out of date.

use clap::Command;
use serde::Serialize;
use std::collections::BTreeMap;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The variable.
    pub variable: String,
    /// The flag; a secret has none, but a twin `NAME_FILE`.
    pub flag: Option<String>,
    /// How its value is written.
    pub value: String,
    /// What it is unless given.
    pub default: Option<String>,
    /// What it means.
    pub meaning: String,
    /// The commands that have it; `(none)` is the one without arguments.
    pub commands: Vec<String>,
}

/// The secrets, which no command has as arguments: variable, form, meaning, commands.
const SECRETS: &[(&str, &str, &str, &[&str])] = &[
    (
        "DATABASE_URL",
        "postgres://…",
        "Where the sagas are kept",
        &["migrate", "serve"],
    ),
    (
        "VIEW_DATABASE_URL",
        "postgres://…",
        "Where order statuses are kept; DATABASE_URL unless given",
        &["serve"],
    ),
    (
        "KAFKA_PROPERTIES",
        "k=v,…",
        "Properties handed to librdkafka: SASL, TLS",
        &["serve"],
    ),
];

/// All settings of a command and of its subcommands, by variable.
pub fn rows(command: &Command) -> Vec<Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let subcommands = command.get_subcommands().map(|sub| (sub.get_name(), sub));
    for (name, command) in std::iter::once(("(none)", command)).chain(subcommands) {
        for arg in command.get_arguments() {
            let Some(variable) = arg.get_env().and_then(|name| name.to_str()) else {
                continue;
            };
            let row = rows
                .entry(variable.to_owned())
                .or_insert_with(|| row(variable, arg));
            row.commands.push(name.to_owned());
        }
    }
    rows.extend(
        SECRETS
            .iter()
            .map(|secret| (secret.0.to_owned(), secret_row(secret))),
    );
    rows.into_values().collect()
}

fn row(variable: &str, arg: &clap::Arg) -> Row {
    let value = arg.get_value_names().unwrap_or_default().join(" ");
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .filter_map(|value| value.to_str())
        .collect();
    Row {
        variable: variable.to_owned(),
        flag: arg.get_long().map(|flag| format!("--{flag}")),
        value,
        default: (!defaults.is_empty()).then(|| defaults.join(",")),
        meaning: arg.get_help().map(ToString::to_string).unwrap_or_default(),
        commands: Vec::new(),
    }
}

fn secret_row((variable, value, meaning, commands): &(&str, &str, &str, &[&str])) -> Row {
    Row {
        variable: (*variable).to_owned(),
        flag: None,
        value: (*value).to_owned(),
        default: None,
        meaning: format!(
            "{meaning}. A secret: no flag; {variable}_FILE may name a file that holds it"
        ),
        commands: commands
            .iter()
            .map(|command| (*command).to_owned())
            .collect(),
    }
}
