//! Where a saga, and each of its steps, can be. Each says who moves it in, and who out.

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
            /// Every status there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As it is written everywhere.
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
                    _ => Err(format!("{text:?} is none of: {}", [$($text),*].join(", "))),
                }
            }
        }
    };
}

statuses! {
    /// Where a saga is.
    Status {
        /// In by its start, out by its last completion or by the turn.
        Running = "running",
        /// In by the turn, out by its last compensation.
        Compensating = "compensating",
        /// All done. Final.
        Completed = "completed",
        /// All undone. Final.
        Compensated = "compensated",
        /// In by a failure that no retry mends where there is no way back; out by an operator, or by the answer it
        /// waited for.
        Parked = "parked",
    }
}

statuses! {
    /// Where a step is.
    StepStatus {
        /// In by the start; out when all it needs is completed or skipped.
        Pending = "pending",
        /// In when its first execute is decided; an attempt that is retried leaves it here.
        Running = "running",
        /// In by the reply `accepted`; out by a completion or failure that comes later.
        Waiting = "waiting",
        /// In by the reply `completed`, or by hand.
        Completed = "completed",
        /// In by a failure that is not retried. On the way back it stays so if its compensation found nothing.
        Failed = "failed",
        /// In when its condition is false.
        Skipped = "skipped",
        /// In when its first compensate is decided.
        Compensating = "compensating",
        /// In by the reply `completed` to it, or settled by hand; or, with nothing to undo, when its turn comes.
        Compensated = "compensated",
    }
}

impl Status {
    /// Whether it is an end.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated)
    }
}
