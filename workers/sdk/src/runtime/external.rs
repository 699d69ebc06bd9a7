//! A batch whose effects are outside the database (A3): rows are committed as intended, then calls are made with no
//! transaction open, then what became of them is committed, in the order in which it becomes known.

use super::batch::{decide, keys};
use super::call_handler::said;
use super::context::{Context, LedgerTx, today};
use super::saga_locks::InFlight;
use crate::handler::{CallKey, ExternalHandler};
use crate::ledger::{lock, take, write};
use crate::outcome::{CallOutcome, VoidOutcome, over_limit};
use async_trait::async_trait;
use futures::FutureExt;
use saga_protocol::Failure;
use saga_protocol::Payload;
use saga_protocol::ledger::{
    self, Call, CallKind, CallResult, HandlerKind, LedgerDecision, LedgerEntry,
};
use saga_protocol::message::{Command, Reply, code};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Does a batch.
pub async fn run(context: &Arc<Context>, handler: &Arc<dyn ExternalHandler>, batch: Vec<InFlight>) {
    let batch = context.dead_letter_expired(batch).await;
    let mut calls = JoinSet::new();
    let pieces = context.run_with_bisection(batch, &Plan).await;
    send_out(context, handler, &mut calls, pieces).await;
    while let Some(first) = calls.join_next().await {
        let mut known: Vec<_> = first.into_iter().collect();
        while let Some(next) = calls.try_join_next() {
            known.extend(next);
        }
        let mut outcomes = Outcomes(HashMap::new());
        let mut batch: Vec<InFlight> = Vec::with_capacity(known.len());
        for (one, known) in known {
            outcomes.0.insert(one.command.saga_id, known);
            batch.push(one);
        }
        let pieces = context.run_with_bisection(batch, &outcomes).await;
        send_out(context, handler, &mut calls, pieces).await;
    }
}

/// What is to be done next about a command.
enum Next {
    Answer(Reply),
    Call(Planned),
}

/// A call that the ledger has written down.
struct Planned {
    call: Call,
    key: CallKey,
    output: Payload,
}

/// What became of a call.
struct Known {
    call: Call,
    called: CallOutcome,
}

type Nexts = HashMap<Uuid, Next>;

async fn send_out(
    context: &Arc<Context>,
    handler: &Arc<dyn ExternalHandler>,
    calls: &mut JoinSet<(InFlight, Known)>,
    pieces: Vec<(Vec<InFlight>, Nexts)>,
) {
    for (piece, mut nexts) in pieces {
        let mut answers = Vec::new();
        for one in piece {
            match nexts.remove(&one.command.saga_id) {
                Some(Next::Answer(reply)) => answers.push((one, reply)),
                Some(Next::Call(planned)) => {
                    let (context, handler) = (Arc::clone(context), Arc::clone(handler));
                    calls.spawn(async move {
                        let known = make(&context, handler.as_ref(), &one.command, planned).await;
                        (one, known)
                    });
                }
                None => {}
            }
        }
        context.answer(answers).await;
    }
}

/// Makes a call. A panic says nothing about what the other side did.
async fn make(
    context: &Context,
    handler: &dyn ExternalHandler,
    command: &Command,
    planned: Planned,
) -> Known {
    let _permit = context.calls.acquire().await;
    let Planned { call, key, output } = planned;
    let calling = async {
        match call.kind {
            CallKind::Execute => handler.execute(command, &key).await,
            CallKind::Compensate => handler.compensate(command, &output, &key).await,
            CallKind::Recover => make_known(handler, command, &key).await,
        }
    };
    let called = AssertUnwindSafe(calling).catch_unwind().await;
    let called = called.unwrap_or_else(|panic| CallOutcome::unknown(said(panic.as_ref())));
    Known { call, called }
}

/// Voids the action by its key, or repeats it with that key: either way the answer is definite, or unknown still.
async fn make_known(
    handler: &dyn ExternalHandler,
    command: &Command,
    key: &CallKey,
) -> CallOutcome {
    match handler.void(command, key).await {
        VoidOutcome::Never => {
            CallOutcome::Failed(Failure::permanent(code::REVOKED, "its key is void"))
        }
        VoidOutcome::Happened(output) => CallOutcome::Done(output),
        VoidOutcome::Unknown(reason) => CallOutcome::Unknown(reason),
        VoidOutcome::Unsupported => handler.execute(command, key).await,
    }
}

/// The transaction before the calls.
struct Plan;

#[async_trait]
impl LedgerTx for Plan {
    type Made = Nexts;

    async fn attempt(&self, context: &Context, batch: &[&Command]) -> Result<Nexts, sqlx::Error> {
        let mut commands = batch.to_vec();
        let mut tx = context.ledger.begin().await?;
        let now = today();
        let entries = take(&mut tx, keys(&mut commands, now)).await?;
        let mut nexts = Nexts::new();
        let mut rows = Vec::new();
        for step in decide(&commands, entries, HandlerKind::External, now) {
            nexts.insert(step.command.saga_id, next(&step.entry, step.decision));
            rows.push(step.entry);
        }
        write(&mut tx, &rows).await?;
        tx.commit().await?;
        Ok(nexts)
    }
}

fn next(entry: &LedgerEntry, decision: LedgerDecision) -> Next {
    match decision {
        LedgerDecision::Reply(reply) => Next::Answer(reply),
        LedgerDecision::Call(call) => {
            let action = call.kind.action();
            let key = CallKey {
                text: entry.key(action),
                action,
                n: call.key_generation,
            };
            Next::Call(Planned {
                call,
                key,
                output: entry.output(),
            })
        }
    }
}

/// The transaction after the calls.
struct Outcomes(HashMap<Uuid, Known>);

#[async_trait]
impl LedgerTx for Outcomes {
    type Made = Nexts;

    async fn attempt(&self, context: &Context, batch: &[&Command]) -> Result<Nexts, sqlx::Error> {
        let mut commands = batch.to_vec();
        let mut tx = context.ledger.begin().await?;
        let entries = lock(&mut tx, &keys(&mut commands, today())).await?;
        let mut rows: HashMap<Uuid, LedgerEntry> = entries
            .into_iter()
            .map(|entry| (entry.saga_id, entry))
            .collect();
        let mut nexts = Nexts::new();
        for command in commands {
            let known = self.0.get(&command.saga_id);
            let (Some(entry), Some(known)) = (rows.get_mut(&command.saga_id), known) else {
                continue;
            };
            let decision = ledger::settle(entry, command, known.call, end(known.called.clone()));
            nexts.insert(command.saga_id, next(entry, decision));
        }
        let rows: Vec<LedgerEntry> = rows.into_values().collect();
        write(&mut tx, &rows).await?;
        tx.commit().await?;
        Ok(nexts)
    }
}

/// What became of a call in the words of the ledger.
fn end(called: CallOutcome) -> CallResult {
    match called {
        // What has happened has happened, and is undone the same way without its output.
        CallOutcome::Done(output) if over_limit(&output).is_some() => {
            CallResult::Completed(Payload::null())
        }
        CallOutcome::Done(output) => CallResult::Completed(output),
        CallOutcome::Failed(failure) | CallOutcome::Again(failure) => {
            CallResult::Failed(failure.truncated())
        }
        CallOutcome::Later { reason, after } => CallResult::Deferred {
            reason,
            retry_after: after,
        },
        CallOutcome::Unknown(reason) => CallResult::Unknown(reason),
    }
}
