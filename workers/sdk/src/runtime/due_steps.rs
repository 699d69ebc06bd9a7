//! Accepted steps that complete later (rule B5). A step ends when its time has come or when somebody
//! has ended it; its reply is then sent until the orchestrator acknowledges it.

use super::call_handler::{HandlerRun, catch_panic};
use super::context::Context;
use crate::handler::{DueStep, Handler, Work};
use crate::ledger::{Completion, LedgerKey, Tx, clear_due, is_outage, lock, select_due, update};
use saga_protocol::Time;
use saga_protocol::ledger::{self, LedgerEntry};
use saga_protocol::message::{Envelope, Reply};
use saga_retry::error_chain;
use std::time::Duration;

/// How often the ledger is polled. Accepted steps take minutes, so half a second does not matter.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Steps that are ended in one transaction.
const MAX_STEPS: usize = 250;
/// How long a step whose handler fails to end it is postponed, so that it does not block the others.
const RETRY_DELAY: Duration = Duration::from_secs(30);

/// Polls until the shutdown.
pub async fn run(context: &Context) {
    let worker = context.name.as_str();
    loop {
        match end_due_steps(context).await {
            // There may be more.
            Ok(MAX_STEPS) => continue,
            Ok(_) => {}
            Err(error) if is_outage(&error) => {
                tracing::debug!(worker, error = error_chain(&error), "database unavailable");
            }
            Err(error) => {
                tracing::warn!(
                    worker,
                    error = error_chain(&error),
                    "failed to end due steps"
                );
            }
        }

        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = context.shutdown.cancelled() => return,
        }
    }
}

/// Ends up to [`MAX_STEPS`] due steps. Returns how many rows were processed.
async fn end_due_steps(context: &Context) -> Result<usize, sqlx::Error> {
    let mut tx = context.ledger.begin().await?;
    let mut keys: Vec<LedgerKey> = select_due(&mut tx, MAX_STEPS).await?;
    if keys.is_empty() {
        tx.rollback().await?;
        return Ok(0);
    }

    // Lock in ascending order, as every transaction does, then check again: a command may have changed
    // a row since it was selected.
    keys.sort_unstable();
    let mut entries = lock(&mut tx, &keys).await?;
    let now = tx.now().await?;
    entries.retain(|entry| entry.due_at.is_some_and(|due_at| due_at <= now));
    let processed = entries.len();

    if let Work::Transactional(handler) = &context.work {
        end_waiting(context, handler.as_ref(), &mut entries, now, &mut tx).await?;
    }
    update(&mut tx, &entries).await?;
    tx.commit().await?;

    entries.retain(|entry| !entry.is_waiting());
    send_outcomes(context, &entries).await?;
    Ok(processed)
}

/// Sends the replies of steps that have ended, then clears their due time. If either fails they stay
/// due and are sent again.
async fn send_outcomes(context: &Context, entries: &[LedgerEntry]) -> Result<(), sqlx::Error> {
    let replies: Vec<(Reply, Envelope)> = entries
        .iter()
        .filter_map(LedgerEntry::outcome_reply)
        .map(|reply| (reply, Envelope::default()))
        .collect();
    if replies.is_empty() {
        return Ok(());
    }

    if let Err(error) = context.sink.send(replies).await {
        tracing::warn!(
            worker = context.name,
            error = error_chain(&error),
            "failed to send the replies of ended steps, retrying later"
        );
        return Ok(());
    }

    let mut tx = context.ledger.begin().await?;
    clear_due(&mut tx, entries).await?;
    tx.commit().await
}

/// Ends the steps that still wait: all in one go or, if that fails, one by one.
async fn end_waiting(
    context: &Context,
    handler: &dyn Handler,
    entries: &mut [LedgerEntry],
    now: Time,
    tx: &mut Tx,
) -> Result<(), sqlx::Error> {
    let mut waiting: Vec<&mut LedgerEntry> = entries
        .iter_mut()
        .filter(|entry| entry.is_waiting())
        .collect();
    if waiting.is_empty() || finish(handler, &mut waiting, now, tx).await?.is_ok() {
        return Ok(());
    }

    for entry in waiting {
        if let Err(reason) = finish(handler, &mut [&mut *entry], now, tx).await? {
            tracing::warn!(
                saga.id = %entry.saga_id,
                step = entry.step,
                worker = context.name,
                reason,
                "failed to end an accepted step, retrying later"
            );
            entry.reschedule(now + RETRY_DELAY);
        }
    }
    Ok(())
}

/// Why the writes of a handler were rolled back.
type RollbackReason = String;

/// Calls the handler behind a savepoint. The outer error is that of the database.
async fn finish(
    handler: &dyn Handler,
    waiting: &mut [&mut LedgerEntry],
    now: Time,
    tx: &mut Tx,
) -> Result<Result<(), RollbackReason>, sqlx::Error> {
    let due: Vec<DueStep> = waiting
        .iter()
        .map(|entry| DueStep {
            saga_id: entry.saga_id,
            step: entry.step.clone(),
            output: entry.output(),
        })
        .collect();

    tx.savepoint().await?;
    let result: Result<Vec<Completion>, RollbackReason> =
        match catch_panic(handler.finish(&due, tx)).await? {
            HandlerRun::Ok(completions) if completions.len() == due.len() => Ok(completions),
            HandlerRun::Ok(completions) => Err(format!(
                "the handler returned {} completions for {} steps",
                completions.len(),
                due.len()
            )),
            HandlerRun::RolledBack(outcome) => Err(format!("{outcome:?}")),
        };

    match result {
        Ok(completions) => {
            tx.release_savepoint().await?;
            for (entry, completion) in waiting.iter_mut().zip(completions) {
                ledger::finish(entry, completion.into_reply(), now);
            }
            Ok(Ok(()))
        }
        Err(reason) => {
            tx.rollback_to_savepoint().await?;
            Ok(Err(reason))
        }
    }
}
