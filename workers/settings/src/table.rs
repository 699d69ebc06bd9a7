//! The table of all settings of a program.

use crate::setting::Setting;
use serde::Serialize;

/// One setting, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingRow {
    /// The environment variable.
    pub variable: String,
    /// The flag; a secret has none.
    pub flag: Option<String>,
    /// The form of its value.
    pub value: String,
    /// The value if it is not set.
    pub default: Option<String>,
    /// What it means.
    pub meaning: String,
    /// The commands that read it; `(none)` is the program without a command.
    pub commands: Vec<String>,
}

/// The settings of a program, sorted by variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SettingsTable {
    rows: Vec<SettingRow>,
}

impl SettingsTable {
    /// The table of these commands. A setting that several commands have in common is one row; where a command gives
    /// a variable another flag, default or meaning, it has a row of its own.
    pub fn new(commands: &[(&str, Vec<Setting>)]) -> Self {
        let mut settings: Vec<(Setting, Vec<String>)> = Vec::new();

        for (command, command_settings) in commands {
            for setting in command_settings {
                match settings.iter_mut().find(|(other, _)| other == setting) {
                    Some((_, names)) => names.push((*command).to_owned()),
                    None => settings.push((*setting, vec![(*command).to_owned()])),
                }
            }
        }

        settings.sort_by_key(|(setting, _)| setting.variable);
        let rows = settings
            .into_iter()
            .map(|(setting, commands)| row(&setting, commands));
        Self {
            rows: rows.collect(),
        }
    }

    /// The rows.
    pub fn rows(&self) -> &[SettingRow] {
        &self.rows
    }

    /// The table as Markdown.
    pub fn markdown(&self) -> String {
        let mut markdown = "| variable | flag | value | default | meaning |\n\
            | --- | --- | --- | --- | --- |\n"
            .to_owned();

        for row in &self.rows {
            let cells = [
                code(&row.variable),
                code(row.flag.as_deref().unwrap_or_default()),
                code(&row.value),
                code(row.default.as_deref().unwrap_or_default()),
                row.meaning.replace('|', "\\|"),
            ];
            markdown += &format!("| {} |\n", cells.join(" | "));
        }
        markdown
    }

    /// The table as text in columns.
    pub fn text(&self) -> String {
        let heading = ["VARIABLE", "FLAG", "VALUE", "DEFAULT", "MEANING"];
        let mut lines = vec![heading];
        lines.extend(self.rows.iter().map(|row| {
            [
                row.variable.as_str(),
                row.flag.as_deref().unwrap_or_default(),
                row.value.as_str(),
                row.default.as_deref().unwrap_or_default(),
                row.meaning.as_str(),
            ]
        }));

        let width = |column: usize| {
            let widths = lines.iter().map(|line| line[column].chars().count());
            widths.max().unwrap_or_default()
        };
        let widths: [usize; 4] = std::array::from_fn(width);

        let mut text = String::new();
        for line in &lines {
            for (cell, width) in line.iter().zip(widths) {
                text += &format!("{cell:<width$}  ");
            }
            text += line[4];
            text.push('\n');
        }
        text
    }
}

fn row(setting: &Setting, commands: Vec<String>) -> SettingRow {
    let variable = setting.variable.to_owned();
    let meaning = match setting.flag {
        Some(_) => setting.help.to_owned(),
        None => format!(
            "{}. A secret: no flag; {variable}_FILE may name a file that holds it",
            setting.help
        ),
    };

    SettingRow {
        flag: setting.flag.map(|flag| format!("--{flag}")),
        value: setting.value_name.to_owned(),
        // An empty default is as good as none to a reader.
        default: setting
            .default
            .filter(|default| !default.is_empty())
            .map(str::to_owned),
        meaning,
        commands,
        variable,
    }
}

fn code(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("`{}`", text.replace('|', "\\|")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTEN: Setting = Setting::new("LISTEN", "listen", "HOST:PORT", "Address of the server");
    const URL: Setting = Setting::secret("DATABASE_URL", "postgres://…", "The database");
    const MODE: Setting = Setting::new("MODE", "mode", "a|b", "One of two").with_default("a");

    #[test]
    fn settings_are_sorted_and_list_their_commands() {
        let table = SettingsTable::new(&[("run", vec![LISTEN, MODE, URL]), ("migrate", vec![URL])]);

        let variables: Vec<_> = table
            .rows()
            .iter()
            .map(|row| row.variable.as_str())
            .collect();
        assert_eq!(variables, ["DATABASE_URL", "LISTEN", "MODE"]);
        assert_eq!(table.rows()[0].commands, ["run", "migrate"]);
        assert!(table.rows()[0].meaning.contains("DATABASE_URL_FILE"));

        let markdown = table.markdown();
        assert!(
            markdown.ends_with("| `MODE` | `--mode` | `a\\|b` | `a` | One of two |\n"),
            "{markdown}"
        );
        let text = table.text();
        assert!(
            text.contains("\nMODE          --mode    a|b           a        One of two\n"),
            "{text}"
        );
    }

    #[test]
    fn differing_settings_of_one_variable_have_rows_of_their_own() {
        let other = LISTEN.with_default("127.0.0.1:8090");
        let table = SettingsTable::new(&[("run", vec![LISTEN]), ("gateway", vec![other])]);
        assert_eq!(table.rows().len(), 2);
    }
}
