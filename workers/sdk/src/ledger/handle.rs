//! A worker's ledger, open.

use super::entries as rows;
use super::open::{self, LedgerTarget, Migration, MigrationMode, OpenError, Pool};
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

/// Rows deleted in one transaction: a fraction of a second, so that commands hardly wait.
const PRUNE_CHUNK: usize = 1_000;

impl Ledger {
    /// Connects to the ledger of that worker, and sees to it that its tables are there: the ledger's own and those of
    /// `scripts`. Waits for a database that does not answer.
    ///
    /// # Errors
    /// If the name, the target or the tables are unusable, or the shutdown comes first.
    pub async fn open(
        name: &str,
        target: &LedgerTarget,
        scripts: &[Migration],
        migrations: MigrationMode,
        shutdown: &CancellationToken,
    ) -> Result<Self, OpenError> {
        let pool = open::open(name, target, scripts, migrations, shutdown).await?;
        Ok(Self {
            name: name.to_owned(),
            pool,
        })
    }

    /// Connects to a ledger as it is, to read it. `None`: there is none.
    ///
    /// # Errors
    /// If the name or the target is unusable.
    pub async fn open_existing(
        name: &str,
        target: &LedgerTarget,
    ) -> Result<Option<Self>, OpenError> {
        let pool = open::open_existing(name, target).await?;
        Ok(pool.map(|pool| Self {
            name: name.to_owned(),
            pool,
        }))
    }

    /// The worker's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// If the database is gone.
    pub async fn begin(&self) -> Result<Tx, sqlx::Error> {
        self.pool.begin().await
    }

    /// Deletes what nobody can need any longer: rows of sagas that began, had their deadline and were last touched more
    /// than `life` ago. In chunks, until there are no more or the shutdown comes. Returns how many.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn prune(
        &self,
        life: Duration,
        shutdown: &CancellationToken,
    ) -> Result<u64, sqlx::Error> {
        let mut pruned = 0;
        while !shutdown.is_cancelled() {
            let mut tx = self.begin().await?;
            let now = tx.now().await?;
            let life = i64::try_from(life.as_micros()).unwrap_or(i64::MAX);
            let began = Time::from_micros(now.micros().saturating_sub(life));
            let chunk = rows::prune(&mut tx, lowest_id(began), began, PRUNE_CHUNK).await?;
            tx.commit().await?;
            pruned += chunk;
            if chunk < PRUNE_CHUNK as u64 {
                break;
            }
        }
        Ok(pruned)
    }

    /// Closes its connections, once what uses them has ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The lowest UUIDv7 (RFC 9562) of that moment: its first 48 bits are the milliseconds since 1970.
fn lowest_id(at: Time) -> Uuid {
    let millis = u128::try_from(at.micros().max(0) / 1_000).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}
