//! Batches of an [`ExternalHandler`] (rule A3).
//!
//! The ledger rows are committed as `intended`; then the calls are made, with no transaction open; then
//! their results are committed in the order in which they become known.

use super::batch::{decide, sorted_keys};
use super::call_handler::panic_message;
use super::context::{Context, LedgerTx, wall_clock};
use super::saga_locks::InFlight;
use crate::handler::{CallKey, ExternalHandler};
use crate::ledger::{acquire, lock, update};
use crate::outcome::{CallOutcome, VoidOutcome, output_too_large};
use async_trait::async_trait;
use futures::FutureExt;
use saga_protocol::ledger::{
    self, Call, CallKind, CallResult, HandlerKind, LedgerDecision, LedgerEntry,
};
use saga_protocol::message::{Command, Reply, code};
use saga_protocol::{Failure, Payload};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Runs a batch until every command has its reply.
pub async fn run(context: &Arc<Context>, handler: &Arc<dyn ExternalHandler>, batch: Vec<InFlight>) {
    let batch = context.dead_letter_expired(batch).await;
    let mut calls = JoinSet::new();
    let parts = context.run_with_bisection(batch, &IntentTx).await;
    perform(context, handler, &mut calls, parts).await;

    while let Some(first) = calls.join_next().await {
        // Results that are known at the same moment share a transaction.
        let mut finished: Vec<_> = first.into_iter().collect();
        while let Some(next) = calls.try_join_next() {
            finished.extend(next);
        }

        let mut batch = Vec::with_capacity(finished.len());
        let mut results = HashMap::with_capacity(finished.len());
        for (item, result) in finished {
            results.insert(item.command.saga_id, result);
            batch.push(item);
        }
        let parts = context.run_with_bisection(batch, &ResultTx(results)).await;
        perform(context, handler, &mut calls, parts).await;
    }
}

/// What a command needs next.
enum NextAction {
    Reply(Reply),
    Call(PendingCall),
}

/// A call that the ledger has recorded as intended.
struct PendingCall {
    call: Call,
    key: CallKey,
    output: Payload,
}

/// The outcome of a call.
struct FinishedCall {
    call: Call,
    outcome: CallOutcome,
}

/// The next action by saga: a batch contains one command per saga.
type NextActions = HashMap<Uuid, NextAction>;

/// Sends the replies and starts the calls.
async fn perform(
    context: &Arc<Context>,
    handler: &Arc<dyn ExternalHandler>,
    calls: &mut JoinSet<(InFlight, FinishedCall)>,
    parts: Vec<(Vec<InFlight>, NextActions)>,
) {
    for (part, mut actions) in parts {
        let mut answered = Vec::new();
        for item in part {
            match actions.remove(&item.command.saga_id) {
                Some(NextAction::Reply(reply)) => answered.push((item, reply)),
                Some(NextAction::Call(call)) => {
                    let context = Arc::clone(context);
                    let handler = Arc::clone(handler);
                    calls.spawn(async move {
                        let finished =
                            make_call(&context, handler.as_ref(), &item.command, call).await;
                        (item, finished)
                    });
                }
                None => {}
            }
        }
        context.send_replies(answered).await;
    }
}

/// Makes a call. After a panic its outcome is unknown: the other system may have performed it.
async fn make_call(
    context: &Context,
    handler: &dyn ExternalHandler,
    command: &Command,
    pending: PendingCall,
) -> FinishedCall {
    let _permit = context.call_permits.acquire().await;
    let PendingCall { call, key, output } = pending;

    let future = async {
        match call.kind {
            CallKind::Execute => handler.execute(command, &key).await,
            CallKind::Compensate => handler.compensate(command, &output, &key).await,
            CallKind::Recover => recover(handler, command, &key).await,
        }
    };
    let outcome = AssertUnwindSafe(future)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| CallOutcome::unknown(panic_message(panic.as_ref())));
    FinishedCall { call, outcome }
}

/// Resolves an action whose outcome is unknown: voids its key or, if that is not supported, repeats
/// the call with the same key.
async fn recover(handler: &dyn ExternalHandler, command: &Command, key: &CallKey) -> CallOutcome {
    match handler.void(command, key).await {
        VoidOutcome::Voided => {
            CallOutcome::Failed(Failure::permanent(code::REVOKED, "its key was voided"))
        }
        VoidOutcome::Happened(output) => CallOutcome::Done(output),
        VoidOutcome::Unknown(reason) => CallOutcome::Unknown(reason),
        VoidOutcome::Unsupported => handler.execute(command, key).await,
    }
}

/// The transaction before the calls: records which are intended.
struct IntentTx;

#[async_trait]
impl LedgerTx for IntentTx {
    type Output = NextActions;

    async fn attempt(
        &self,
        context: &Context,
        batch: &[&Command],
    ) -> Result<NextActions, sqlx::Error> {
        let mut commands = batch.to_vec();
        let mut tx = context.ledger.begin().await?;
        let now = wall_clock();
        let entries = acquire(&mut tx, sorted_keys(&mut commands, now)).await?;

        let mut actions = NextActions::with_capacity(commands.len());
        let mut changed = Vec::with_capacity(commands.len());
        for item in decide(&commands, entries, HandlerKind::External, now) {
            let action = next_action(&item.entry, item.decision);
            actions.insert(item.command.saga_id, action);
            changed.push(item.entry);
        }

        update(&mut tx, &changed).await?;
        tx.commit().await?;
        Ok(actions)
    }
}

fn next_action(entry: &LedgerEntry, decision: LedgerDecision) -> NextAction {
    match decision {
        LedgerDecision::Reply(reply) => NextAction::Reply(reply),
        LedgerDecision::Call(call) => {
            let action = call.kind.action();
            let key = CallKey {
                text: entry.key(action),
                action,
                generation: call.key_generation,
            };
            NextAction::Call(PendingCall {
                call,
                key,
                output: entry.output(),
            })
        }
    }
}

/// The transaction after the calls: records their results, by saga.
struct ResultTx(HashMap<Uuid, FinishedCall>);

#[async_trait]
impl LedgerTx for ResultTx {
    type Output = NextActions;

    async fn attempt(
        &self,
        context: &Context,
        batch: &[&Command],
    ) -> Result<NextActions, sqlx::Error> {
        let mut commands = batch.to_vec();
        let mut tx = context.ledger.begin().await?;
        let keys = sorted_keys(&mut commands, wall_clock());
        let entries = lock(&mut tx, &keys).await?;
        let mut entries: HashMap<Uuid, LedgerEntry> = entries
            .into_iter()
            .map(|entry| (entry.saga_id, entry))
            .collect();

        let mut actions = NextActions::with_capacity(commands.len());
        for command in commands {
            let finished = self.0.get(&command.saga_id);
            let entry = entries.get_mut(&command.saga_id);
            let (Some(entry), Some(finished)) = (entry, finished) else {
                continue;
            };
            let result = call_result(finished.outcome.clone());
            let decision = ledger::settle(entry, command, finished.call, result);
            actions.insert(command.saga_id, next_action(entry, decision));
        }

        let changed: Vec<LedgerEntry> = entries.into_values().collect();
        update(&mut tx, &changed).await?;
        tx.commit().await?;
        Ok(actions)
    }
}

fn call_result(outcome: CallOutcome) -> CallResult {
    match outcome {
        // The effect cannot be rejected afterwards, so an output over the limit is dropped. The
        // compensation then gets null as the output.
        CallOutcome::Done(output) if output_too_large(&output).is_some() => {
            CallResult::Completed(Payload::null())
        }
        CallOutcome::Done(output) => CallResult::Completed(output),
        CallOutcome::Failed(failure) | CallOutcome::Retry(failure) => {
            CallResult::Failed(failure.truncated())
        }
        CallOutcome::Later { reason, after } => CallResult::Deferred {
            reason,
            retry_after: after,
        },
        CallOutcome::Unknown(reason) => CallResult::Unknown(reason),
    }
}
