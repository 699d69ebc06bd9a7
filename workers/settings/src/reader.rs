//! Resolves and parses the settings of a command.

use crate::error::{ConfigError, ConfigErrors, InvalidValue};
use crate::secret::Secret;
use crate::setting::Setting;
use std::path::PathBuf;

/// Where variables are looked up: the environment of the process, or that of a test.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Settings that belong together.
pub trait SettingsGroup: Sized {
    /// The settings of the group.
    fn settings() -> Vec<Setting>;

    /// Reads the group. If a value is invalid, the reader records an error and the returned group must not be used.
    fn read(reader: &mut SettingsReader<'_>) -> Self;
}

/// Reads settings from flags and environment.
///
/// # Errors
/// Everything that is wrong.
pub fn read<T>(
    flags: &dyn Fn(&Setting) -> Option<String>,
    environment: Environment<'_>,
    read: impl FnOnce(&mut SettingsReader<'_>) -> T,
) -> Result<T, ConfigErrors> {
    let mut reader = SettingsReader {
        flags,
        environment,
        errors: Vec::new(),
    };
    let settings = read(&mut reader);

    match reader.errors.is_empty() {
        true => Ok(settings),
        false => Err(ConfigErrors(reader.errors)),
    }
}

/// Resolves settings and collects what is wrong with them.
pub struct SettingsReader<'a> {
    flags: &'a dyn Fn(&Setting) -> Option<String>,
    environment: Environment<'a>,
    errors: Vec<ConfigError>,
}

impl SettingsReader<'_> {
    /// The value of a setting that has a default. If the given value is invalid the default is returned, so that the
    /// remaining settings can still be checked.
    ///
    /// # Panics
    /// If the setting has no default, or an invalid one.
    pub fn value<T>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> T {
        let default = setting
            .default
            .unwrap_or_else(|| panic!("{} has no default", setting.variable));

        self.given(setting)
            .and_then(|given| self.parsed(given, &parse))
            .unwrap_or_else(|| parse(default).expect("a default is valid"))
    }

    /// The value of a setting without a default, if it is set. An empty variable counts as not set.
    pub fn optional<T>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        let given = self
            .given(setting)
            .filter(|given| !given.value.is_empty())?;
        self.parsed(given, &parse)
    }

    /// The value of a setting that must be set. If it is missing or invalid, an error is recorded and the type's
    /// default is returned.
    pub fn required<T: Default>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> T {
        let Some(given) = self.given(setting).filter(|given| !given.value.is_empty()) else {
            self.missing(setting);
            return T::default();
        };
        self.parsed(given, &parse).unwrap_or_default()
    }

    /// A secret, if it is set.
    pub fn secret(
        &mut self,
        setting: &Setting,
        check: impl Fn(&str) -> Result<(), InvalidValue>,
    ) -> Option<Secret> {
        match self.read_secret(setting.variable) {
            Ok(secret) => self.checked(setting, secret?, check),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    /// A secret that must be set. If it is missing or invalid, an error is recorded and an empty one is returned.
    pub fn required_secret(
        &mut self,
        setting: &Setting,
        check: impl Fn(&str) -> Result<(), InvalidValue>,
    ) -> Secret {
        let secret = match self.read_secret(setting.variable) {
            Ok(Some(secret)) => self.checked(setting, secret, check),
            Ok(None) => {
                self.missing(setting);
                None
            }
            Err(error) => {
                self.errors.push(error);
                None
            }
        };
        secret.unwrap_or_else(|| Secret::from(String::new()))
    }

    /// Records that a combination of values is not allowed.
    pub fn not_allowed(&mut self, message: impl Into<String>) {
        self.errors.push(ConfigError::NotAllowed(message.into()));
    }

    fn missing(&mut self, setting: &Setting) {
        self.errors.push(ConfigError::Missing {
            name: setting.variable,
            expected: setting.value_name,
        });
    }

    fn given(&self, setting: &Setting) -> Option<Given> {
        let from_flag = (self.flags)(setting).map(|value| Given {
            name: format!("--{}", setting.flag.unwrap_or_default()),
            value,
        });

        from_flag.or_else(|| {
            let value = (self.environment)(setting.variable)?;
            Some(Given {
                name: setting.variable.to_owned(),
                value,
            })
        })
    }

    fn parsed<T>(
        &mut self,
        given: Given,
        parse: &impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        match parse(&given.value) {
            Ok(value) => Some(value),
            Err(source) => {
                let Given { name, value } = given;
                self.errors.push(ConfigError::Invalid {
                    name,
                    value,
                    source,
                });
                None
            }
        }
    }

    fn checked(
        &mut self,
        setting: &Setting,
        secret: Secret,
        check: impl Fn(&str) -> Result<(), InvalidValue>,
    ) -> Option<Secret> {
        match check(secret.expose()) {
            Ok(()) => Some(secret),
            Err(source) => {
                let name = setting.variable;
                self.errors
                    .push(ConfigError::InvalidSecret { name, source });
                None
            }
        }
    }

    /// Reads the variable, or the file that its twin names without the white space around the text.
    fn read_secret(&self, name: &'static str) -> Result<Option<Secret>, ConfigError> {
        let file = (self.environment)(&format!("{name}_FILE"));

        let text = match ((self.environment)(name), file) {
            (Some(_), Some(_)) => return Err(ConfigError::BothSet { name }),
            (None, None) => return Ok(None),
            (Some(text), None) => text,
            (None, Some(path)) => {
                std::fs::read_to_string(&path).map_err(|source| ConfigError::UnreadableSecret {
                    name,
                    path: PathBuf::from(path),
                    source,
                })?
            }
        };

        match text.trim() {
            "" => Err(ConfigError::EmptySecret { name }),
            text => Ok(Some(Secret::from(text.to_owned()))),
        }
    }
}

/// A value, and the name that an error reports: that of the flag or of the variable.
struct Given {
    name: String,
    value: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;
    use std::net::SocketAddr;

    const LISTEN: Setting =
        Setting::new("LISTEN", "listen", "ADDRESS:PORT", "Address of the server")
            .with_default("127.0.0.1:8080");
    const BROKERS: Setting = Setting::new(
        "BROKERS",
        "brokers",
        "HOST:PORT,…",
        "Brokers of the cluster",
    );
    const URL: Setting = Setting::secret("URL", "postgres://…", "Address of the database");

    #[derive(Debug)]
    struct Group {
        listen: SocketAddr,
        brokers: String,
        url: Option<Secret>,
    }

    impl SettingsGroup for Group {
        fn settings() -> Vec<Setting> {
            vec![LISTEN, BROKERS, URL]
        }

        fn read(reader: &mut SettingsReader<'_>) -> Self {
            Self {
                listen: reader.value(&LISTEN, parse::address),
                brokers: reader.required(&BROKERS, parse::brokers),
                url: reader.secret(&URL, parse::postgres_url),
            }
        }
    }

    fn lookup<'a>(values: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| {
            let (_, value) = values.iter().find(|(key, _)| *key == name)?;
            Some((*value).to_owned())
        }
    }

    fn read_group(
        flags: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Result<Group, Vec<String>> {
        let flags = lookup(flags);
        let by_flag = |setting: &Setting| flags(setting.flag?);
        read(&by_flag, &lookup(environment), Group::read)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn flag_wins_over_variable_and_variable_over_default() {
        let given = read_group(&[("brokers", "a:1")], &[("BROKERS", "b:1")]).unwrap();
        assert_eq!(given.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(given.brokers, "a:1");
        assert_eq!(given.url, None);

        let given = read_group(&[], &[("BROKERS", "b:1"), ("LISTEN", "[::]:1")]).unwrap();
        assert_eq!(
            (given.listen, given.brokers),
            ("[::]:1".parse().unwrap(), "b:1".to_owned())
        );
    }

    #[test]
    fn all_errors_are_reported_together() {
        let errors = read_group(
            &[("listen", "8080")],
            &[("BROKERS", ""), ("URL", "mysql://u:p@h/d")],
        )
        .unwrap_err();
        assert_eq!(
            errors,
            [
                "--listen is \"8080\": expected an address and a port, such as 127.0.0.1:8080 or [::]:8080",
                "BROKERS is not set; expected HOST:PORT,…",
                "URL is invalid: expected an address that begins with postgres:// or postgresql://",
            ]
        );
    }

    #[test]
    fn secret_comes_from_its_variable_or_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgres://file\n").unwrap();
        let path = file.path().to_str().unwrap();

        let read_url = |environment: &[(&str, &str)]| {
            let environment = [&[("BROKERS", "a:1")], environment].concat();
            read_group(&[], &environment).map(|group| group.url)
        };
        let text = |text: &str| Ok(Some(Secret::from(text.to_owned())));

        assert_eq!(
            read_url(&[("URL", "postgres://variable")]),
            text("postgres://variable")
        );
        assert_eq!(read_url(&[("URL_FILE", path)]), text("postgres://file"));
        for (environment, error) in [
            (
                &[("URL", "x"), ("URL_FILE", path)][..],
                "URL and URL_FILE are both set",
            ),
            (
                &[("URL_FILE", "/nowhere")],
                "URL_FILE names /nowhere, which cannot be read",
            ),
            (&[("URL", " ")], "URL is set but empty"),
        ] {
            let errors = read_url(environment).unwrap_err();
            assert!(
                errors.len() == 1 && errors[0].starts_with(error),
                "{errors:?}"
            );
        }
    }
}
