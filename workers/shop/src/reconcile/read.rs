//! Reads the ledgers, the workers' tables, the gateway's charges and the status of sagas.

use super::effects::Effects;
use crate::gateway::ChargeReport;
use crate::handlers::NAMES;
use crate::tables::reconcile::{effects_page, ledger_page};
use saga_worker::LedgerTarget;
use saga_worker::ledger::Ledger;
use serde::Deserialize;
use std::error::Error;
use std::time::Duration;
use uuid::Uuid;

/// A report of a hundred thousand charges has tens of megabytes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A worker's database.
    #[error("failed to read the ledger of worker {worker}")]
    Ledger {
        worker: &'static str,
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// An HTTP server.
    #[error("failed to read {url}")]
    Http {
        url: String,
        #[source]
        cause: reqwest::Error,
    },
}

/// Reads the ledgers and tables of the built-in workers. One that was never run is left out.
///
/// # Errors
/// If a database cannot be read.
pub async fn read_workers(target: &LedgerTarget, effects: &mut Effects) -> Result<(), ReadError> {
    for worker in NAMES {
        read_worker(target, worker, effects)
            .await
            .map_err(|cause| ReadError::Ledger { worker, cause })?;
    }
    Ok(())
}

async fn read_worker(
    target: &LedgerTarget,
    worker: &str,
    effects: &mut Effects,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Some(ledger) = Ledger::open_existing(worker, target).await? else {
        return Ok(());
    };
    read_ledger(&ledger, effects).await?;
    read_effects(&ledger, worker, effects).await?;
    ledger.close().await;
    Ok(())
}

async fn read_ledger(ledger: &Ledger, effects: &mut Effects) -> Result<(), sqlx::Error> {
    let mut last = (Uuid::nil(), String::new());
    loop {
        let mut tx = ledger.begin().await?;
        let page = ledger_page(&mut tx, (last.0, &last.1)).await?;
        tx.rollback().await?;

        let Some((saga, step, _)) = page.last() else {
            return Ok(());
        };
        last = (*saga, step.clone());
        for (saga, step, state) in page {
            effects.step(saga, &step).state = Some(state);
        }
    }
}

async fn read_effects(
    ledger: &Ledger,
    worker: &str,
    effects: &mut Effects,
) -> Result<(), sqlx::Error> {
    let mut last = Uuid::nil();
    loop {
        let mut tx = ledger.begin().await?;
        let page = effects_page(&mut tx, worker, last).await?;
        tx.rollback().await?;

        let Some((saga, _)) = page.last() else {
            return Ok(());
        };
        last = *saga;
        for (saga, is_compensated) in page {
            let step = effects.step(saga, worker);
            step.executed += 1;
            step.compensated += u32::from(is_compensated);
        }
    }
}

/// Reads the charges and refunds of the gateway. Keys that do not belong to a saga are left out.
///
/// # Errors
/// If the gateway does not answer.
pub async fn read_gateway(url: &str, effects: &mut Effects) -> Result<(), ReadError> {
    let report: ChargeReport = get(format!("{}/books", url.trim_end_matches('/'))).await?;
    effects.set_gateway_included();

    for key in report.charges.keys() {
        if let Some((saga, step)) = parse_key(key) {
            effects.step(saga, step).executed += 1;
        }
    }
    for charge_key in report.refunds.keys() {
        if let Some((saga, step)) = parse_key(charge_key) {
            effects.step(saga, step).compensated += 1;
        }
    }
    Ok(())
}

/// The saga and step of an idempotency key: `saga:step:action`.
fn parse_key(key: &str) -> Option<(Uuid, &str)> {
    let mut parts = key.split(':');
    Some((parts.next()?.parse().ok()?, parts.next()?))
}

#[derive(Deserialize)]
struct SagaStatus {
    status: String,
}

/// Asks an orchestrator for the status of a saga.
///
/// # Errors
/// If it does not answer, or does not know the saga.
pub async fn saga_status(server: &str, saga: Uuid) -> Result<String, ReadError> {
    let server = server.trim_end_matches('/');
    let SagaStatus { status } = get(format!("{server}/sagas/{saga}")).await?;
    Ok(status)
}

async fn get<T: for<'de> Deserialize<'de>>(url: String) -> Result<T, ReadError> {
    let request = async {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .build()?;
        let response = http.get(&url).send().await?.error_for_status()?;
        response.json().await
    };
    request.await.map_err(|cause| ReadError::Http {
        url: url.clone(),
        cause,
    })
}
