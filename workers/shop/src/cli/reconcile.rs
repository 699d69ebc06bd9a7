//! `workers reconcile`.

use super::settings::ReconcileSettings;
use crate::reconcile::{Effects, ReadError, check, read_gateway, read_workers, saga_status};
use saga_retry::error_chain;
use std::collections::BTreeSet;
use std::process::ExitCode;
use uuid::Uuid;

/// Compares all ledgers with their effects and prints the violations.
pub async fn run(settings: &ReconcileSettings) -> ExitCode {
    match reconcile(settings).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: failed to read the effects: {}", error_chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Whether all sagas are consistent.
async fn reconcile(settings: &ReconcileSettings) -> Result<bool, ReadError> {
    let mut effects = Effects::default();
    read_workers(&settings.target, &mut effects).await?;
    if let Some(url) = &settings.gateway {
        read_gateway(url, &mut effects).await?;
    }
    let sagas = effects.saga_count();

    // The effects of a saga that has not ended are expected to be incomplete.
    if let Some(server) = &settings.server {
        let suspects = check(&effects)
            .iter()
            .map(|violation| violation.saga)
            .collect();
        effects.remove(&not_ended(server, suspects).await?);
    }

    let violations = check(&effects);
    for violation in &violations {
        println!("{violation}");
    }
    println!("{sagas} sagas, {} violations", violations.len());
    Ok(violations.is_empty())
}

/// The sagas that are neither completed nor compensated.
async fn not_ended(server: &str, sagas: BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>, ReadError> {
    let mut open = BTreeSet::new();
    for saga in sagas {
        let status = saga_status(server, saga).await?;
        if status != "completed" && status != "compensated" {
            open.insert(saga);
        }
    }
    Ok(open)
}
