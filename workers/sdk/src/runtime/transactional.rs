//! Batches of a [`Handler`]: ledger rows, handler calls and outcomes in one transaction.

use super::batch::{BatchItem, decide, sorted_keys};
use super::call_handler::{HandlerCall, HandlerRun, run_batch, run_one};
use super::context::{Context, LedgerTx, wall_clock};
use super::saga_locks::InFlight;
use crate::handler::Handler;
use crate::ledger::{Tx, acquire, update};
use crate::outcome::Outcome;
use async_trait::async_trait;
use saga_protocol::ledger::HandlerKind;
use saga_protocol::message::{Command, Reply};
use saga_protocol::{Action, Payload, Time};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Runs a batch: commit, then replies, then acknowledgements.
pub async fn run(context: &Context, handler: &Arc<dyn Handler>, batch: Vec<InFlight>) {
    let batch = context.dead_letter_expired(batch).await;
    let parts = context
        .run_with_bisection(batch, &TransactionalTx(handler))
        .await;

    for (part, mut replies) in parts {
        let answered = part
            .into_iter()
            .filter_map(|item| {
                let reply = replies.remove(&item.command.saga_id)?;
                Some((item, reply))
            })
            .collect();
        context.send_replies(answered).await;
    }
}

/// The transaction of a batch.
struct TransactionalTx<'a>(&'a Arc<dyn Handler>);

/// The replies by saga: a batch contains one command per saga.
type Replies = HashMap<Uuid, Reply>;

/// How the handler is run for the commands of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RunMode {
    /// All in one go; a failure rolls the transaction back.
    Batch,
    /// Each behind a savepoint; a failure rolls back its own writes.
    OneByOne,
}

#[async_trait]
impl LedgerTx for TransactionalTx<'_> {
    type Output = Replies;

    /// Runs all commands in one go first. If one of them fails everything is rolled back and they run
    /// one by one. This loses nothing but time, because a handler has no effect outside the
    /// transaction.
    async fn attempt(&self, context: &Context, batch: &[&Command]) -> Result<Replies, sqlx::Error> {
        let mut commands = batch.to_vec();
        let handler = self.0.as_ref();

        if let Some(replies) = attempt(context, handler, &mut commands, RunMode::Batch).await? {
            return Ok(replies);
        }
        let replies = attempt(context, handler, &mut commands, RunMode::OneByOne).await?;
        Ok(replies.unwrap_or_default())
    }
}

/// Runs the transaction once. `None`: a handler failed, and everything was rolled back.
async fn attempt(
    context: &Context,
    handler: &dyn Handler,
    commands: &mut [&Command],
    mode: RunMode,
) -> Result<Option<Replies>, sqlx::Error> {
    let mut tx = context.ledger.begin().await?;
    let now = wall_clock();
    let entries = acquire(&mut tx, sorted_keys(commands, now)).await?;
    let mut items = decide(commands, entries, HandlerKind::Transactional, now);

    let all_ok = match mode {
        RunMode::Batch => run_in_one_go(handler, &mut items, &mut tx).await?,
        RunMode::OneByOne => {
            run_one_by_one(handler, &mut items, &mut tx).await?;
            true
        }
    };
    if !all_ok {
        tx.rollback().await?;
        return Ok(None);
    }

    let (entries, replies): (Vec<_>, Vec<_>) = items.into_iter().map(BatchItem::into_reply).unzip();
    update(&mut tx, &entries).await?;
    tx.commit().await?;

    let by_saga = replies.into_iter().map(|reply| (reply.saga_id, reply));
    Ok(Some(by_saga.collect()))
}

/// Returns whether all calls succeeded.
async fn run_in_one_go(
    handler: &dyn Handler,
    items: &mut [BatchItem<'_>],
    tx: &mut Tx,
) -> Result<bool, sqlx::Error> {
    for action in [Action::Execute, Action::Compensate] {
        let indexes = indexes_to_call(action, items);
        if indexes.is_empty() {
            continue;
        }

        let outputs: Vec<Payload> = indexes.iter().map(|n| items[*n].entry.output()).collect();
        let calls: Vec<HandlerCall<'_>> = indexes
            .iter()
            .zip(&outputs)
            .map(|(n, output)| HandlerCall {
                command: items[*n].command,
                output,
            })
            .collect();
        let HandlerRun::Ok(outcomes) = run_batch(handler, action, &calls, tx).await? else {
            return Ok(false);
        };

        let now = time_for(&outcomes, tx).await?;
        for (n, outcome) in indexes.into_iter().zip(outcomes) {
            items[n].settle(outcome, now);
        }
    }
    Ok(true)
}

/// The positions of the items that need a handler call of this direction.
fn indexes_to_call(action: Action, items: &[BatchItem<'_>]) -> Vec<usize> {
    let needs_call =
        |item: &BatchItem<'_>| item.call().is_some_and(|call| call.kind.action() == action);
    items
        .iter()
        .enumerate()
        .filter(|(_, item)| needs_call(item))
        .map(|(n, _)| n)
        .collect()
}

async fn run_one_by_one(
    handler: &dyn Handler,
    items: &mut [BatchItem<'_>],
    tx: &mut Tx,
) -> Result<(), sqlx::Error> {
    for item in items.iter_mut().filter(|item| item.call().is_some()) {
        tx.savepoint().await?;
        let output = item.entry.output();
        let command = item.command;
        let call = HandlerCall {
            command,
            output: &output,
        };

        let outcome = match run_one(handler, command.action, call, tx).await? {
            HandlerRun::Ok(outcome) if outcome.has_effect() => {
                tx.release_savepoint().await?;
                outcome
            }
            HandlerRun::Ok(outcome) | HandlerRun::RolledBack(outcome) => {
                tx.rollback_to_savepoint().await?;
                tracing::debug!(
                    saga.id = %command.saga_id,
                    step = command.step,
                    attempt = command.attempt,
                    "command rolled back: {outcome:?}"
                );
                outcome
            }
        };

        let now = time_for(std::slice::from_ref(&outcome), tx).await?;
        item.settle(outcome, now);
    }
    Ok(())
}

/// The database's time, which is queried only if an outcome depends on it.
async fn time_for(outcomes: &[Outcome], tx: &mut Tx) -> Result<Time, sqlx::Error> {
    let needs_time =
        |outcome: &Outcome| matches!(outcome, Outcome::Accepted { after: Some(_), .. });
    if outcomes.iter().any(needs_time) {
        tx.now().await
    } else {
        Ok(Time::default())
    }
}
