//! Whether a step that a person would answer is answered by itself.

use saga_protocol::Payload;
use saga_worker::Outcome;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// `AUTO`: when `store` and `deliver` answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto {
    /// After that time; `0s`, the default, means at once.
    After(Duration),
    /// When a person does.
    Off,
}

impl Default for Auto {
    fn default() -> Self {
        Self::After(Duration::ZERO)
    }
}

impl FromStr for Auto {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            text => humantime::parse_duration(text)
                .map(Self::After)
                .map_err(|error| {
                    format!("{text:?} is neither off nor a duration such as 0s or 2m: {error}")
                }),
        }
    }
}

impl fmt::Display for Auto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(after) => write!(f, "{}", humantime::format_duration(*after)),
            Self::Off => f.write_str("off"),
        }
    }
}

impl Auto {
    /// Whether the answer comes at once.
    pub const fn at_once(self) -> bool {
        matches!(self, Self::After(Duration::ZERO))
    }

    /// The answer, with that output.
    pub fn answer(self, output: Payload) -> Outcome {
        match self {
            Self::After(Duration::ZERO) => Outcome::Done(output),
            Self::After(after) => Outcome::Accepted {
                output,
                after: Some(after),
            },
            Self::Off => Outcome::Accepted {
                output,
                after: None,
            },
        }
    }
}
