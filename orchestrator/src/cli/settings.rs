//! `orchestrator settings`: the table of all settings.

use super::client::SERVER;
use super::exit::{Exit, Failure};
use super::output::{lines, print};
use crate::config::{BenchSettings, EmbeddedSettings, MigrateSettings, ServeSettings};
use clap::{Args, ValueEnum};
use saga_settings::{SettingsGroup, SettingsTable};
use serde::Serialize;

/// Commands that talk to a server.
const CLIENT_COMMANDS: [&str; 12] = [
    "bench", "cancel", "complete", "fail", "history", "list", "pause", "resolve", "resume",
    "retry", "show", "start",
];

/// Print all settings as a table, as Markdown or as JSON
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator settings
  orchestrator settings -o markdown")]
pub struct Settings {
    /// Format of the output
    #[arg(
        short = 'o',
        long = "output",
        value_name = "table|markdown|json|jsonl|id",
        default_value = "table"
    )]
    format: SettingsFormat,
}

/// A format of the table.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SettingsFormat {
    Table,
    Markdown,
    Json,
    Jsonl,
    Id,
}

impl Settings {
    /// Prints the table.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn run(self) -> Result<Exit, Failure> {
        let table = settings_table();
        print(&match self.format {
            SettingsFormat::Table => table.text(),
            SettingsFormat::Markdown => table.markdown(),
            SettingsFormat::Json => json(&table)? + "\n",
            SettingsFormat::Jsonl => {
                let rows = table
                    .rows()
                    .iter()
                    .map(json)
                    .collect::<Result<Vec<_>, _>>()?;
                lines(rows.into_iter())
            }
            SettingsFormat::Id => lines(table.rows().iter().map(|row| row.variable.clone())),
        })?;
        Ok(Exit::Ok)
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::failed("failed to serialise the settings", error))
}

/// The settings of all commands.
fn settings_table() -> SettingsTable {
    let mut commands = vec![
        ("(none)", EmbeddedSettings::settings()),
        ("bench", BenchSettings::settings()),
        ("demo", EmbeddedSettings::settings()),
        ("migrate", MigrateSettings::settings()),
        ("serve", ServeSettings::settings()),
    ];
    commands.extend(CLIENT_COMMANDS.map(|command| (command, vec![SERVER])));
    SettingsTable::new(&commands)
}

/// The table of all settings as Markdown, for the documentation.
pub fn settings_markdown() -> String {
    settings_table().markdown()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    /// The variables that the command line reads, with the commands that read them.
    fn variables_of_commands() -> BTreeSet<(String, String)> {
        let program = crate::cli::Cli::command();
        let subcommands = program
            .get_subcommands()
            .map(|command| (command.get_name(), command));
        let mut variables = BTreeSet::new();
        for (name, command) in std::iter::once(("(none)", &program)).chain(subcommands) {
            let arguments = command.get_arguments();
            let read = arguments.filter_map(|argument| argument.get_env()?.to_str());
            variables.extend(read.map(|variable| (variable.to_owned(), name.to_owned())));
        }
        variables
    }

    #[test]
    fn table_has_the_settings_of_every_command() {
        let table = settings_table();
        let listed = table
            .rows()
            .iter()
            .filter(|row| row.flag.is_some())
            .flat_map(|row| {
                row.commands
                    .iter()
                    .map(|command| (row.variable.clone(), command.clone()))
            });
        assert_eq!(listed.collect::<BTreeSet<_>>(), variables_of_commands());
    }
}
