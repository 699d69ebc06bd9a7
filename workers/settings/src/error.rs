//! What is wrong with the settings of a process.

use std::fmt;
use std::path::PathBuf;

/// A text that a parser does not accept. Its message completes the sentence "NAME is VALUE: …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct InvalidValue {
    expected: String,
}

impl InvalidValue {
    /// Says which values are valid, such as "on or off".
    pub fn expected(values: impl Into<String>) -> Self {
        Self {
            expected: values.into(),
        }
    }
}

/// One thing that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value cannot be parsed or is out of its limits.
    #[error("{name} is {value:?}: {source}")]
    Invalid {
        name: String,
        value: String,
        source: InvalidValue,
    },
    /// A secret cannot be parsed. Its value is not shown.
    #[error("{name} is invalid: {source}")]
    InvalidSecret {
        name: &'static str,
        source: InvalidValue,
    },
    /// A setting without a default is missing.
    #[error("{name} is not set; expected {expected}")]
    Missing {
        name: &'static str,
        expected: &'static str,
    },
    /// A secret is given twice.
    #[error("{name} and {name}_FILE are both set; set one of them")]
    BothSet { name: &'static str },
    /// A secret is set to an empty text.
    #[error("{name} is set but empty")]
    EmptySecret { name: &'static str },
    /// The file of a secret cannot be read.
    #[error("{name}_FILE names {}, which cannot be read: {source}", path.display())]
    UnreadableSecret {
        name: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// A valid value that is not allowed here, such as in combination with another one.
    #[error("{0}")]
    NotAllowed(String),
}

/// Everything that is wrong with the settings, in the order in which they are listed; never empty.
#[derive(Debug)]
pub struct ConfigErrors(pub(crate) Vec<ConfigError>);

impl ConfigErrors {
    /// The errors.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

/// One error a line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
