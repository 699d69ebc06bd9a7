//! Steps that were taken on and end later (B5): their time comes, or somebody has ended them; either way the
//! orchestrator is told until it has acknowledged the news.

use super::call_handler::{HandlerRun, catch_panic};
use super::context::Context;
use crate::handler::{DueStep, Handler, Work};
use crate::ledger::{Completion, Key, Tx, due, is_outage, lock, told, write};
use saga_protocol::Time;
use saga_protocol::ledger::{self, LedgerEntry};
use saga_protocol::message::{Envelope, Reply};
use saga_retry::error_chain;
use std::time::Duration;

/// How often the ledger is looked at. Somebody waits for the kitchen, but not for this.
const LOOK: Duration = Duration::from_millis(500);
/// Ended in one transaction.
const CHUNK: usize = 250;
/// A step whose handler cannot end it is not in the way of the others for so long.
const POSTPONE: Duration = Duration::from_secs(30);

/// Looks until the shutdown.
pub async fn run(context: &Context) {
    loop {
        match end_what_is_due(context).await {
            Ok(CHUNK) => continue,
            Ok(_) => {}
            Err(error) if is_outage(&error) => {
                tracing::debug!("worker {}: {}", context.name, error_chain(&error))
            }
            Err(error) => {
                tracing::warn!(
                    "worker {} could not look at what is due: {}",
                    context.name,
                    error_chain(&error)
                );
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = context.shutdown.cancelled() => return,
        }
    }
}

/// Returns how many were looked at.
async fn end_what_is_due(context: &Context) -> Result<usize, sqlx::Error> {
    let mut tx = context.ledger.begin().await?;
    let keys: Vec<Key> = due(&mut tx, CHUNK).await?;
    if keys.is_empty() {
        tx.rollback().await?;
        return Ok(0);
    }
    let mut entries = lock(&mut tx, &sorted(keys)).await?;
    let now = tx.now().await?;
    entries.retain(|entry| entry.due_at.is_some_and(|at| at <= now));
    let looked_at = entries.len();
    if let Work::Transactional(handler) = &context.work {
        end(context, handler.as_ref(), &mut entries, now, &mut tx).await?;
    }
    write(&mut tx, &entries).await?;
    tx.commit().await?;
    entries.retain(|entry| !entry.is_waiting());
    tell(context, &entries).await?;
    Ok(looked_at)
}

/// The news, then that it is known. Unless both work, it is told again at the next look.
async fn tell(context: &Context, entries: &[LedgerEntry]) -> Result<(), sqlx::Error> {
    let news: Vec<(Reply, Envelope)> = entries
        .iter()
        .filter_map(LedgerEntry::outcome_reply)
        .map(|reply| (reply, Envelope::default()))
        .collect();
    if news.is_empty() {
        return Ok(());
    }
    if let Err(error) = context.sink.send(news).await {
        tracing::warn!(
            "worker {} could not tell how steps ended, and will again: {}",
            context.name,
            error_chain(&error)
        );
        return Ok(());
    }
    let mut tx = context.ledger.begin().await?;
    told(&mut tx, entries).await?;
    tx.commit().await
}

fn sorted(mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort_unstable();
    keys
}

/// Ends those that still wait: together, or, if that fails, one by one.
async fn end(
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
    if waiting.is_empty() || finish(handler, &mut waiting, now, tx).await?.is_none() {
        return Ok(());
    }
    for entry in waiting {
        let Some(why) = finish(handler, &mut [&mut *entry], now, tx).await? else {
            continue;
        };
        let (saga, step) = (entry.saga_id, entry.step.as_str());
        tracing::warn!(saga.id = %saga, step, "worker {} could not end {saga}:{step}: {why}", context.name);
        entry.reschedule(now + POSTPONE);
    }
    Ok(())
}

/// Behind a savepoint. `Some`: why it was taken back.
async fn finish(
    handler: &dyn Handler,
    waiting: &mut [&mut LedgerEntry],
    now: Time,
    tx: &mut Tx,
) -> Result<Option<String>, sqlx::Error> {
    let due: Vec<DueStep> = waiting
        .iter()
        .map(|entry| DueStep {
            saga_id: entry.saga_id,
            step: entry.step.clone(),
            output: entry.output(),
        })
        .collect();
    tx.savepoint().await?;
    let finishes: Vec<Completion> = match catch_panic(handler.finish(&due, tx)).await? {
        HandlerRun::Ok(finishes) if finishes.len() == due.len() => finishes,
        HandlerRun::Ok(finishes) => {
            return taken_back(tx, format!("{} answers for {}", finishes.len(), due.len())).await;
        }
        HandlerRun::RolledBack(outcome) => return taken_back(tx, format!("{outcome:?}")).await,
    };
    tx.release_savepoint().await?;
    for (entry, finish) in waiting.iter_mut().zip(finishes) {
        ledger::finish(entry, finish.into_answer(), now);
    }
    Ok(None)
}

async fn taken_back(tx: &mut Tx, why: String) -> Result<Option<String>, sqlx::Error> {
    tx.back_to_savepoint().await?;
    Ok(Some(why))
}
