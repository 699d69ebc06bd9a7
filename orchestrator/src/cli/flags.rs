//! Flags of settings: each setting that is not a secret can be given on the command line.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use saga_settings::{ConfigErrors, Environment, Setting, SettingsGroup};
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// The flags of a group of settings as they were given, as texts: they are parsed together with the environment, so
/// that all errors are reported together.
#[derive(Clone, Debug)]
pub struct Flags<S> {
    /// By variable.
    values: BTreeMap<&'static str, String>,
    group: PhantomData<S>,
}

impl<S: SettingsGroup> Flags<S> {
    /// Reads the group from these flags and the environment of the process.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn read(&self) -> Result<S, ConfigErrors> {
        self.read_with(&|name| std::env::var(name).ok())
    }

    /// Reads the group from these flags and an environment.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn read_with(&self, environment: Environment<'_>) -> Result<S, ConfigErrors> {
        saga_settings::read(
            &|setting| self.values.get(setting.variable).cloned(),
            environment,
            S::read,
        )
    }
}

impl<S: SettingsGroup> FromArgMatches for Flags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self {
            values: BTreeMap::new(),
            group: PhantomData,
        };
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for Setting { variable, .. } in S::settings().iter().filter(|setting| !setting.is_secret())
        {
            // clap knows the variables and defaults for its help only; the reader resolves them.
            if matches.value_source(variable) == Some(ValueSource::CommandLine)
                && let Some(value) = matches.get_one::<String>(variable)
            {
                self.values.insert(variable, value.clone());
            }
        }
        Ok(())
    }
}

impl<S: SettingsGroup> Args for Flags<S> {
    fn augment_args(command: Command) -> Command {
        let settings = S::settings()
            .into_iter()
            .filter(|setting| !setting.is_secret());
        command.args(settings.map(|setting| arg(&setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn arg(setting: &Setting) -> Arg {
    let arg = Arg::new(setting.variable)
        .long(setting.flag)
        .env(setting.variable)
        .value_name(setting.value_name)
        .default_value(setting.default)
        .help(setting.help)
        .action(ArgAction::Set);

    match setting.bare_flag {
        Some(value) => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value(value),
        None => arg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EmbeddedSettings;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        flags: Flags<EmbeddedSettings>,
    }

    fn read(flags: &[&str]) -> Result<EmbeddedSettings, String> {
        let program = Program::try_parse_from([&["orchestrator"], flags].concat())
            .map_err(|error| error.to_string())?;
        let environment = |name: &str| match name {
            "LISTEN" => Some("127.0.0.1:1".to_owned()),
            "CURRENCY" => Some("USD".to_owned()),
            _ => None,
        };
        program
            .flags
            .read_with(&environment)
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn flag_wins_over_its_variable() {
        let settings = read(&["--listen", "0.0.0.0:2", "--shards=3"]).unwrap();
        assert_eq!(settings.http.listen, "0.0.0.0:2".parse().unwrap());
        assert_eq!(
            (settings.orders.currency.as_str(), settings.engine.shards),
            ("USD", 3)
        );
        assert!(!settings.http.allow_faults);
    }

    #[test]
    fn bare_flag_switches_on() {
        assert!(read(&["--allow-faults"]).unwrap().http.allow_faults);
        assert!(!read(&["--allow-faults=off"]).unwrap().http.allow_faults);
    }

    #[test]
    fn invalid_flags_are_reported_together() {
        let errors = read(&["--auto=soon", "--shards", "0"]).unwrap_err();
        assert_eq!(
            errors,
            "--auto is \"soon\": expected a duration such as 0s or 2s, or off\n\
             --shards is \"0\": expected a whole number from 1 to 64"
        );
    }

    #[test]
    fn secrets_and_unknown_words_are_no_flags() {
        assert!(read(&["--banana"]).is_err());
        assert!(read(&["--database-url", "x"]).is_err());
    }
}
