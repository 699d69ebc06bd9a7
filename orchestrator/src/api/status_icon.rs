//! Icons of statuses, for the pages and the terminal. An icon always stands beside the status itself.

use saga_core::saga::{Status, StepStatus};

/// The icon of a saga that is paused.
pub const PAUSED_ICON: &str = "‖";

/// A status with an icon of one terminal column.
pub trait StatusIcon {
    /// The icon.
    fn icon(&self) -> &'static str;
}

impl StatusIcon for Status {
    fn icon(&self) -> &'static str {
        match self {
            Self::Running => "▸",
            Self::Compensating => "◂",
            Self::Completed => "✓",
            Self::Compensated => "↺",
            Self::Parked => "!",
        }
    }
}

impl StatusIcon for StepStatus {
    fn icon(&self) -> &'static str {
        match self {
            Self::Pending => "·",
            Self::Running => "▸",
            Self::Waiting => "…",
            Self::Completed => "✓",
            Self::Failed => "✗",
            Self::Skipped => "–",
            Self::Compensating => "◂",
            Self::Compensated => "↺",
        }
    }
}
