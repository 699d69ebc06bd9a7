//! Colors of the terminal. A status is never shown by its color alone: an icon and its name stand beside it.

use anstyle::{AnsiColor, Style};
use saga_core::saga::{Status, StepStatus};
use std::io::IsTerminal;

/// The terminal's own sixteen colors, which suit its background.
pub const GREEN: Style = AnsiColor::Green.on_default();
pub const RED: Style = AnsiColor::Red.on_default();
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
pub const CYAN: Style = AnsiColor::Cyan.on_default();
pub const DIM: Style = Style::new().dimmed();
pub const BOLD: Style = Style::new().bold();

/// Whether output is colored.
#[derive(Clone, Copy, Debug)]
pub struct Color {
    enabled: bool,
}

impl Color {
    /// Colored if stdout is a terminal, unless NO_COLOR is set, TERM is dumb or `--no-color` is given.
    pub fn for_stdout(no_color: bool) -> Self {
        let is_disabled = no_color
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            enabled: !is_disabled && std::io::stdout().is_terminal(),
        }
    }

    #[cfg(test)]
    pub const fn disabled() -> Self {
        Self { enabled: false }
    }

    /// The text in that style.
    pub fn paint(self, style: Style, text: &str) -> String {
        match self.enabled && !text.is_empty() {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }
}

/// The style of a saga's status.
pub fn status_style(status: Status) -> Style {
    match status {
        Status::Running => CYAN,
        Status::Compensating | Status::Compensated => YELLOW,
        Status::Completed => GREEN,
        Status::Parked => RED,
    }
}

/// The style of a step's status.
pub fn step_style(status: StepStatus) -> Style {
    match status {
        StepStatus::Pending | StepStatus::Skipped => DIM,
        StepStatus::Running | StepStatus::Waiting => CYAN,
        StepStatus::Completed => GREEN,
        StepStatus::Failed => RED,
        StepStatus::Compensating | StepStatus::Compensated => YELLOW,
    }
}
