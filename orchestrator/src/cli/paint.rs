//! Colours and icons. A status is never told by its colour alone: icon and word say it too.

use saga_core::saga::{Status, StepStatus};
use std::io::IsTerminal;

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

/// A colour of the terminal's own sixteen, which suit its background.
#[derive(Clone, Copy, Debug)]
pub enum Colour {
    /// Done.
    Green,
    /// Failed.
    Red,
    /// On the way back, or wants attention.
    Yellow,
    /// Under way.
    Cyan,
    /// Beside the point.
    Dim,
    /// A heading.
    Bold,
}

impl Paint {
    /// Colours if stdout is a terminal, unless NO_COLOR is set, TERM is dumb or `--no-color` was given.
    pub fn for_stdout(no_color: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            on: !no_color && !refused && std::io::stdout().is_terminal(),
        }
    }

    /// Never colours.
    pub const fn plain() -> Self {
        Self { on: false }
    }

    /// The text in that colour.
    pub fn paint(self, colour: Colour, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Green => 32,
            Colour::Red => 31,
            Colour::Yellow => 33,
            Colour::Cyan => 36,
            Colour::Dim => 2,
            Colour::Bold => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The icon and colour of a saga's status.
pub fn of_status(status: Status) -> (&'static str, Colour) {
    match status {
        Status::Running => ("▸", Colour::Cyan),
        Status::Compensating => ("◂", Colour::Yellow),
        Status::Completed => ("✓", Colour::Green),
        Status::Compensated => ("↺", Colour::Yellow),
        Status::Parked => ("!", Colour::Red),
    }
}

/// The icon and colour of a step's status.
pub fn of_step(status: StepStatus) -> (&'static str, Colour) {
    match status {
        StepStatus::Pending => ("·", Colour::Dim),
        StepStatus::Running => ("▸", Colour::Cyan),
        StepStatus::Waiting => ("…", Colour::Cyan),
        StepStatus::Completed => ("✓", Colour::Green),
        StepStatus::Failed => ("✗", Colour::Red),
        StepStatus::Skipped => ("–", Colour::Dim),
        StepStatus::Compensating => ("◂", Colour::Yellow),
        StepStatus::Compensated => ("↺", Colour::Yellow),
    }
}
