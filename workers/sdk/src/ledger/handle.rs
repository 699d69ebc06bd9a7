//! An open ledger.

use super::connect::{self, LedgerTarget, Pool};
use super::entries;
use super::migrate::{self, Migration, MigrationMode, OpenError};
use super::tx::Tx;
use saga_protocol::Time;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The ledger of one worker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    name: String,
    pool: Pool,
}

/// Rows deleted in one transaction: it takes a fraction of a second, so commands hardly wait for it.
const PRUNE_CHUNK: usize = 1_000;

impl Ledger {
    /// Connects to the ledger of worker `name` and runs its migrations: the ledger's own, then
    /// `migrations`. Waits for a database that does not answer.
    ///
    /// # Errors
    /// If the name or the target is invalid, a migration fails, or `shutdown` is cancelled first.
    pub async fn open(
        name: &str,
        target: &LedgerTarget,
        migrations: &[Migration],
        mode: MigrationMode,
        shutdown: &CancellationToken,
    ) -> Result<Self, OpenError> {
        let pool = migrate::open(name, target, migrations, mode, shutdown).await?;
        Ok(Self {
            name: name.to_owned(),
            pool,
        })
    }

    /// Connects to an existing ledger without migrating it. Returns `None` if there is no ledger.
    ///
    /// # Errors
    /// If the name or the target is invalid, or the database does not answer.
    pub async fn open_existing(
        name: &str,
        target: &LedgerTarget,
    ) -> Result<Option<Self>, OpenError> {
        let pool = connect::open_existing(name, target).await?;
        Ok(pool.map(|pool| Self {
            name: name.to_owned(),
            pool,
        }))
    }

    /// The worker's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// If the database is unavailable.
    pub async fn begin(&self) -> Result<Tx, sqlx::Error> {
        self.pool.begin().await
    }

    /// Deletes the rows that no command can need any more: their saga started, had its deadline and
    /// last changed the row more than `ledger_life` ago. Works in chunks until none is left or
    /// `shutdown` is cancelled. Returns the number of deleted rows.
    ///
    /// # Errors
    /// An error of the database; earlier chunks stay deleted.
    pub async fn prune(
        &self,
        ledger_life: Duration,
        shutdown: &CancellationToken,
    ) -> Result<u64, sqlx::Error> {
        let life_micros = i64::try_from(ledger_life.as_micros()).unwrap_or(i64::MAX);
        let mut pruned = 0;

        while !shutdown.is_cancelled() {
            let mut tx = self.begin().await?;
            let now = tx.now().await?;
            let cutoff = Time::from_micros(now.micros().saturating_sub(life_micros));
            let deleted = entries::prune(&mut tx, min_uuid_v7(cutoff), cutoff, PRUNE_CHUNK).await?;
            tx.commit().await?;

            pruned += deleted;
            if deleted < PRUNE_CHUNK as u64 {
                break;
            }
        }
        Ok(pruned)
    }

    /// Closes the connections, after the transactions that use them have ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The lowest UUIDv7 (RFC 9562) of a time: its first 48 bits are the milliseconds since 1970.
fn min_uuid_v7(time: Time) -> Uuid {
    let millis = u128::try_from(time.micros().max(0) / 1_000).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}
