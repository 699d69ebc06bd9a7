//! The statuses of a saga and of its steps, with the transitions into and out of each.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every status.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name used in messages, tables and logs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(format!("unknown status {text:?}, expected one of: {}", [$($text),*].join(", "))),
                }
            }
        }
    };
}

statuses! {
    /// The status of a saga.
    Status {
        /// Entered at the start; left by the last completion or by a rollback.
        Running = "running",
        /// Entered by a rollback; left by the last compensation.
        Compensating = "compensating",
        /// Every step is completed or skipped. Final.
        Completed = "completed",
        /// Every step with an effect is compensated. Final.
        Compensated = "compensated",
        /// Entered by a final failure that cannot be rolled back, or by a compensation that failed for good; left by
        /// an operator, or by the late reply to the failed attempt.
        Parked = "parked",
    }
}

statuses! {
    /// The status of a step.
    StepStatus {
        /// Entered at the start; left once every step that it needs is completed or skipped.
        Pending = "pending",
        /// Entered when the first execute is decided; a retried attempt does not leave it.
        Running = "running",
        /// Entered by the reply `accepted`; left by a later completion or failure.
        Waiting = "waiting",
        /// Entered by the reply `completed`, or by an operator.
        Completed = "completed",
        /// Entered by a final failure. During a rollback the step stays failed if its compensation finds no effect.
        Failed = "failed",
        /// Entered when its condition is false.
        Skipped = "skipped",
        /// Entered when the first compensate is decided.
        Compensating = "compensating",
        /// Entered by the reply `completed` to compensate or by an operator; a step without compensation enters it
        /// at its place in the rollback.
        Compensated = "compensated",
    }
}

impl Status {
    /// Whether the status is final.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated)
    }
}
