//! The settings of a worker, and their limits.

use crate::ledger::MigrationMode;
use saga_protocol::ledger::COMMAND_LIFE;
use saga_protocol::message::MESSAGE_RETENTION;
use std::time::Duration;

/// The lower limit of [`WorkerSettings::ledger_life`]: a ledger row must outlive every command that
/// may still refer to it (rule A4).
pub const MIN_LEDGER_LIFE: Duration = COMMAND_LIFE
    .saturating_add(MESSAGE_RETENTION)
    .saturating_add(days(1));

/// Ten thousand commands of the maximum size take a gigabyte.
const MAX_CONCURRENCY: usize = 10_000;

/// A larger batch makes a transaction longer, but no cheaper per command.
const MAX_BATCH: usize = 500;

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

/// The settings of a worker. [`WorkerSettings::check`] checks their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Maximum number of commands in flight (`CONCURRENCY`): 1 to 10,000, by default 1,000. It bounds
    /// memory; a batch has at most half as many commands, and at most 500.
    pub concurrency: usize,
    /// How long a ledger row is retained after its saga's deadline or its last change, whichever is
    /// later (`LEDGER_LIFE`): at least 15 days, by default 90.
    pub ledger_life: Duration,
    /// Whether the worker runs the migrations or waits for them (`MIGRATE`): by default it runs them.
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

/// A setting is out of its limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// [`WorkerSettings::concurrency`].
    #[error("CONCURRENCY is {0}: expected 1 to {MAX_CONCURRENCY}")]
    Concurrency(usize),
    /// [`WorkerSettings::ledger_life`].
    #[error(
        "LEDGER_LIFE is {}: expected at least {}, or a row may be deleted before the last command that needs it",
        humantime::format_duration(*.0),
        humantime::format_duration(MIN_LEDGER_LIFE)
    )]
    LedgerLife(Duration),
}

impl WorkerSettings {
    /// Checks the limits of all settings.
    ///
    /// # Errors
    /// Every setting that is out of its limits.
    pub fn check(&self) -> Result<(), Vec<SettingsError>> {
        let mut errors = Vec::new();
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            errors.push(SettingsError::Concurrency(self.concurrency));
        }
        if self.ledger_life < MIN_LEDGER_LIFE {
            errors.push(SettingsError::LedgerLife(self.ledger_life));
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// The maximum number of commands in a batch: half of those in flight, so that two batches overlap.
    pub(crate) fn max_batch(&self) -> usize {
        self.concurrency.div_ceil(2).min(MAX_BATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a4_ledger_life_below_limit_is_rejected() {
        let settings = WorkerSettings {
            ledger_life: days(14),
            concurrency: 0,
            ..WorkerSettings::default()
        };
        let errors = settings.check().expect_err("both are out of their limits");
        assert_eq!(errors.len(), 2, "all errors are reported: {errors:?}");
        assert!(errors[1].to_string().contains("15days"), "{}", errors[1]);
        assert_eq!(WorkerSettings::default().check(), Ok(()));
    }
}
