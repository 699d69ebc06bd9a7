//! How a worker runs.

use crate::ledger::MigrationMode;
use saga_protocol::ledger::COMMAND_LIFE;
use saga_protocol::message::MESSAGE_RETENTION;
use std::time::Duration;

/// A row of the ledger must outlive every command that could still ask for it (A4).
pub const MIN_LEDGER_LIFE: Duration = COMMAND_LIFE
    .saturating_add(MESSAGE_RETENTION)
    .saturating_add(days(1));

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

/// How a worker runs. Checked by [`WorkerSettings::check`], which says all that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Commands taken and not yet answered, at most (`CONCURRENCY`): 1 to 10,000, by default 1,000. It bounds memory
    /// and the length of a transaction; half of it is the largest batch.
    pub concurrency: usize,
    /// How long a row of the ledger is kept after its saga's deadline or its last change (`LEDGER_LIFE`): at least 15
    /// days, by default 90.
    pub ledger_life: Duration,
    /// Whether the worker makes its own tables (`MIGRATE`): by default it does.
    pub migrations: MigrationMode,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            concurrency: 1_000,
            ledger_life: days(90),
            migrations: MigrationMode::Run,
        }
    }
}

/// What is wrong with settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Nothing could be taken, or too much at once.
    #[error("CONCURRENCY is {0}: it must be 1 to {MAX_CONCURRENCY}")]
    Concurrency(usize),
    /// Rows would be gone while commands could still ask for them.
    #[error(
        "LEDGER_LIFE is {}: it must be at least {}, or a command that is still in its topic finds its row gone",
        humantime::format_duration(*.0),
        humantime::format_duration(MIN_LEDGER_LIFE)
    )]
    LedgerLife(Duration),
}

/// Ten thousand commands of the largest size are what a gigabyte holds.
const MAX_CONCURRENCY: usize = 10_000;

/// The largest batch: beyond it a transaction only gets longer, not cheaper a command.
const MAX_BATCH: usize = 500;

impl WorkerSettings {
    /// Says all that is wrong with them.
    ///
    /// # Errors
    /// If anything is.
    pub fn check(&self) -> Result<(), Vec<SettingsError>> {
        let mut wrong = Vec::new();
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            wrong.push(SettingsError::Concurrency(self.concurrency));
        }
        if self.ledger_life < MIN_LEDGER_LIFE {
            wrong.push(SettingsError::LedgerLife(self.ledger_life));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// How many commands a batch has at the most: half of what may be in hand, so that two batches overlap.
    pub(crate) fn batch(&self) -> usize {
        self.concurrency.div_ceil(2).min(MAX_BATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a4_rows_outlive_every_command_that_could_ask_for_them() {
        let short = WorkerSettings {
            ledger_life: days(14),
            concurrency: 0,
            ..WorkerSettings::default()
        };
        let wrong = short.check().expect_err("both are out of their limits");
        assert_eq!(wrong.len(), 2, "all mistakes are told at once: {wrong:?}");
        assert!(wrong[1].to_string().contains("15days"), "{}", wrong[1]);
        assert_eq!(WorkerSettings::default().check(), Ok(()));
    }
}
