//! The description of a setting.

/// A setting: an environment variable and, unless it holds a secret, a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag without its dashes; `None` if the setting holds a secret.
    pub flag: Option<&'static str>,
    /// The form of its value, such as `HOST:PORT`.
    pub value_name: &'static str,
    /// The value if it is not set.
    pub default: Option<&'static str>,
    /// The value of a flag that is given without one; `None` if the flag needs a value.
    pub bare_flag: Option<&'static str>,
    /// What the setting means, in a phrase.
    pub help: &'static str,
}

impl Setting {
    /// A setting with a variable and a flag, without a default.
    pub const fn new(
        variable: &'static str,
        flag: &'static str,
        value_name: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            variable,
            flag: Some(flag),
            value_name,
            default: None,
            bare_flag: None,
            help,
        }
    }

    /// A setting that holds a secret: a variable, or a file that its twin `NAME_FILE` names.
    pub const fn secret(
        variable: &'static str,
        value_name: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            variable,
            flag: None,
            value_name,
            default: None,
            bare_flag: None,
            help,
        }
    }

    /// The same setting with a default.
    pub const fn with_default(self, default: &'static str) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }

    /// The same setting, its flag usable without a value.
    pub const fn with_bare_flag(self, value: &'static str) -> Self {
        Self {
            bare_flag: Some(value),
            ..self
        }
    }

    /// Whether the setting holds a secret.
    pub const fn is_secret(&self) -> bool {
        self.flag.is_none()
    }
}
