//! Flags of settings: each setting that is not a secret can be given on the command line.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use saga_settings::{ConfigErrors, Environment, Setting, SettingsGroup, SettingsReader};
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
        self.read_with(&|name| std::env::var(name).ok(), S::read)
    }

    /// Reads settings from these flags and an environment.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn read_with<T>(
        &self,
        environment: Environment<'_>,
        read: impl FnOnce(&mut SettingsReader<'_>) -> T,
    ) -> Result<T, ConfigErrors> {
        let flags = |setting: &Setting| self.values.get(setting.variable).cloned();
        saga_settings::read(&flags, environment, read)
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
