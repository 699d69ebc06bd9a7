//! Reading the books of all sides.

use super::effects::Effects;
use crate::gateway::ChargeReport;
use crate::handlers::NAMES;
use crate::tables::reconcile::{effects as page_of_effects, ledger as page_of_ledger};
use saga_worker::ledger::{Ledger, LedgerTarget};
use serde::Deserialize;
use std::time::Duration;
use uuid::Uuid;

/// Books of a hundred thousand charges are tens of megabytes.
const ANSWER: Duration = Duration::from_secs(60);

/// Books could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The ledger of a worker.
    #[error("the ledger of worker {worker}")]
    Ledger {
        /// The worker.
        worker: &'static str,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody who is asked over HTTP.
    #[error("{0}")]
    Http(String, #[source] reqwest::Error),
}

/// Reads the ledgers and tables of all workers built_in. A worker that was never run has none.
///
/// # Errors
/// If one of them cannot be read.
pub async fn read_workers(target: &LedgerTarget, effects: &mut Effects) -> Result<(), ReadError> {
    for worker in NAMES {
        let failed = |cause| ReadError::Ledger { worker, cause };
        let opened = Ledger::open_existing(worker, target).await;
        if let Some(ledger) = opened.map_err(|error| failed(error.into()))? {
            read_worker(&ledger, worker, effects)
                .await
                .map_err(|error| failed(error.into()))?;
            ledger.close().await;
        }
    }
    Ok(())
}

async fn read_worker(
    ledger: &Ledger,
    worker: &str,
    effects: &mut Effects,
) -> Result<(), sqlx::Error> {
    let mut behind = (Uuid::nil(), String::new());
    loop {
        let mut tx = ledger.begin().await?;
        let page = page_of_ledger(&mut tx, (behind.0, &behind.1)).await?;
        tx.rollback().await?;
        let Some((saga, step, _)) = page.last() else {
            break;
        };
        behind = (*saga, step.clone());
        for (saga, step, state) in page {
            effects.side(saga, &step).state = Some(state);
        }
    }
    let mut behind = Uuid::nil();
    loop {
        let mut tx = ledger.begin().await?;
        let page = page_of_effects(&mut tx, worker, behind).await?;
        tx.rollback().await?;
        let Some((saga, _)) = page.last() else {
            return Ok(());
        };
        behind = *saga;
        for (saga, undone) in page {
            let side = effects.side(saga, worker);
            side.happened += 1;
            side.undone += u32::from(undone);
        }
    }
}

/// Reads what the gateway has charged and refunded. Keys that are no saga's are somebody else's.
///
/// # Errors
/// If it does not answer.
pub async fn read_gateway(url: &str, effects: &mut Effects) -> Result<(), ReadError> {
    let address = format!("{}/books", url.trim_end_matches('/'));
    let book: ChargeReport = get(&address)
        .await
        .map_err(|error| ReadError::Http(address, error))?;
    effects.with_gateway();
    for key in book.charges.keys() {
        if let Some((saga, step)) = owner(key) {
            effects.side(saga, step).happened += 1;
        }
    }
    for charge in book.refunds.keys() {
        if let Some((saga, step)) = owner(charge) {
            effects.side(saga, step).undone += 1;
        }
    }
    Ok(())
}

/// The saga and step of an idempotency key: `saga:step:action`.
fn owner(key: &str) -> Option<(Uuid, &str)> {
    let mut parts = key.split(':');
    Some((parts.next()?.parse().ok()?, parts.next()?))
}

#[derive(Deserialize)]
struct Saga {
    status: String,
}

/// The status of a saga, by the orchestrator at that address.
///
/// # Errors
/// If it does not answer.
pub async fn status_of(server: &str, saga: Uuid) -> Result<String, ReadError> {
    let address = format!("{}/sagas/{saga}", server.trim_end_matches('/'));
    let Saga { status } = get(&address)
        .await
        .map_err(|error| ReadError::Http(address, error))?;
    Ok(status)
}

async fn get<T: for<'de> Deserialize<'de>>(address: &str) -> Result<T, reqwest::Error> {
    let http = reqwest::Client::builder()
        .timeout(ANSWER)
        .no_proxy()
        .build()?;
    http.get(address)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await
}
