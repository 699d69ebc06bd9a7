//! Whether a step completes by itself or waits for an operator.

use saga_worker::{Outcome, Payload};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// When the steps `store` and `deliver` complete (`AUTO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto {
    /// By themselves after a delay; by default at once.
    After(Duration),
    /// When an operator completes them.
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
        if text == "off" {
            return Ok(Self::Off);
        }
        humantime::parse_duration(text)
            .map(Self::After)
            .map_err(|error| {
                format!("{text:?}: expected off or a duration such as 0s or 2m: {error}")
            })
    }
}

impl fmt::Display for Auto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(delay) => write!(f, "{}", humantime::format_duration(*delay)),
            Self::Off => f.write_str("off"),
        }
    }
}

impl Auto {
    /// Whether steps complete at once.
    pub const fn is_immediate(self) -> bool {
        matches!(self, Self::After(Duration::ZERO))
    }

    /// The outcome of a step with this output.
    pub fn outcome(self, output: Payload) -> Outcome {
        match self {
            Self::After(Duration::ZERO) => Outcome::Done(output),
            Self::After(delay) => Outcome::Accepted {
                output,
                after: Some(delay),
            },
            Self::Off => Outcome::Accepted {
                output,
                after: None,
            },
        }
    }
}
