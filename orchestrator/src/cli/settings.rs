//! `orchestrator settings`: the table of all settings.

use super::exit::{Exit, Failure};
use super::output::{lines, print};
use super::paint::Paint;
use super::table::table;
use crate::config::{self, Row};
use clap::{Args, CommandFactory};
use serde::Serialize;

/// Print all settings, as a table for people, for a README (-o markdown) or as JSON
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator settings
  orchestrator settings -o markdown")]
pub struct Settings {
    /// How to print them
    #[arg(
        short = 'o',
        long = "output",
        value_name = "table|markdown|json|jsonl|id",
        default_value = "table"
    )]
    form: SettingsForm,
}

/// A form of the table.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SettingsForm {
    Table,
    Markdown,
    Json,
    Jsonl,
    Id,
}

impl Settings {
    /// Prints them.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn run(self) -> Result<Exit, Failure> {
        let rows = config::rows(&super::Cli::command());
        print(&match self.form {
            SettingsForm::Table => columns(&rows),
            SettingsForm::Markdown => markdown(&rows),
            SettingsForm::Json => json(&rows)? + "\n",
            SettingsForm::Jsonl => lines(
                rows.iter()
                    .map(json)
                    .collect::<Result<Vec<_>, _>>()?
                    .into_iter(),
            ),
            SettingsForm::Id => lines(rows.iter().map(|row| row.variable.clone())),
        })?;
        Ok(Exit::Ok)
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::failed("the settings have no JSON form", error))
}

fn columns(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let Row {
            variable,
            flag,
            value,
            default,
            meaning,
            ..
        } = row.clone();
        [
            variable,
            flag.unwrap_or_default(),
            value,
            default.unwrap_or_default(),
            meaning,
        ]
        .map(Into::into)
        .to_vec()
    };
    table(
        &["VARIABLE", "FLAG", "VALUE", "DEFAULT", "MEANING"],
        rows.iter().map(row).collect(),
        Paint::plain(),
    )
}

/// The table of all settings as it stands in the README.
pub fn settings_markdown() -> String {
    markdown(&config::rows(&super::Cli::command()))
}

fn markdown(rows: &[Row]) -> String {
    let code = |text: &str| {
        if text.is_empty() {
            String::new()
        } else {
            format!("`{}`", text.replace('|', "\\|"))
        }
    };
    let row = |row: &Row| {
        let (flag, default) = (
            row.flag.as_deref().unwrap_or_default(),
            row.default.as_deref().unwrap_or_default(),
        );
        let meaning = row.meaning.replace('|', "\\|");
        format!(
            "| {} | {} | {} | {} | {meaning} |",
            code(&row.variable),
            code(flag),
            code(&row.value),
            code(default)
        )
    };
    let head = [
        "| variable | flag | value | default | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    .map(str::to_owned);
    lines(head.into_iter().chain(rows.iter().map(row)))
}
