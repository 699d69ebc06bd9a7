//! `workers books check`.

use super::settings::DatabaseArgs;
use crate::reconcile::{
    Effects, ReadError, check as check_books, read_gateway, read_workers, status_of,
};
use saga_retry::error_chain;
use saga_worker::ledger::LedgerTarget;
use std::collections::BTreeSet;
use std::process::ExitCode;
use uuid::Uuid;

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The payment gateway, to compare its books too
    #[arg(long, env = "PAYMENT_GATEWAY_URL")]
    gateway: Option<String>,
    /// The orchestrator, to be asked whether a saga that does not fit has ended at all
    #[arg(long, env = "SAGA_SERVER")]
    server: Option<String>,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Compares, and says what does not fit.
pub async fn check(args: &CheckArgs) -> ExitCode {
    let target = match args.database.target() {
        Ok(target) => target,
        Err(mistakes) => {
            mistakes.tell();
            return ExitCode::from(2);
        }
    };
    match compare(args, &target).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: the books cannot be read: {}", error_chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Says whether all fits.
async fn compare(args: &CheckArgs, target: &LedgerTarget) -> Result<bool, ReadError> {
    let mut effects = Effects::default();
    read_workers(target, &mut effects).await?;
    if let Some(url) = args
        .gateway
        .as_deref()
        .filter(|url| *url != "inside" && !url.is_empty())
    {
        read_gateway(url, &mut effects).await?;
    }
    let sagas = effects.sagas();
    let suspects: BTreeSet<Uuid> = check_books(&effects)
        .iter()
        .map(|violation| violation.saga)
        .collect();
    if let Some(server) = &args.server {
        effects.forget(&not_ended(server, suspects).await?);
    }
    let violations = check_books(&effects);
    for violation in &violations {
        println!("{violation}");
    }
    println!("{sagas} sagas, {} violations", violations.len());
    Ok(violations.is_empty())
}

/// Those that are on their way, or parked in plain sight: half done is what they are.
async fn not_ended(server: &str, suspects: BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>, ReadError> {
    let mut open = BTreeSet::new();
    for saga in suspects {
        let status = status_of(server, saga).await?;
        if status != "completed" && status != "compensated" {
            open.insert(saga);
        }
    }
    Ok(open)
}
