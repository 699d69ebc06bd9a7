//! A batch whose effects are outside the database (A3): rows are committed as intended, then calls are made with no
//! transaction open, then what became of them is committed, in the order in which it becomes known.

use super::context::{Context, InLedger, today};
use super::hold::InHand;
use super::run_handlers::said;
use super::steps::{decide, deferred, keys};
use crate::handler::{CallKey, ExternalHandler};
use crate::ledger::{Decision, Entry, Made, State, lock, take, write};
use crate::outcome::{Called, Voided, over_limit};
use async_trait::async_trait;
use futures::FutureExt;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::task::JoinSet;
use uuid::Uuid;
use workflows::Payload;
use workflows::message::{Action, Command, Reply};

/// Does a batch.
pub async fn run(context: &Arc<Context>, handler: &Arc<dyn ExternalHandler>, batch: Vec<InHand>) {
    let batch = context.put_old_away(batch).await;
    let mut calls = JoinSet::new();
    let pieces = context.in_pieces(batch, &Plan).await;
    send_out(context, handler, &mut calls, pieces).await;
    while let Some(first) = calls.join_next().await {
        let mut known: Vec<_> = first.into_iter().collect();
        while let Some(next) = calls.try_join_next() {
            known.extend(next);
        }
        let mut outcomes = Outcomes(HashMap::new());
        let mut batch: Vec<InHand> = Vec::with_capacity(known.len());
        for (one, known) in known {
            outcomes.0.insert(one.command.saga_id, known);
            batch.push(one);
        }
        let pieces = context.in_pieces(batch, &outcomes).await;
        send_out(context, handler, &mut calls, pieces).await;
    }
}

/// What is to be done next about a command.
enum Next {
    Answer(Reply),
    Call(Call),
}

/// A call that the ledger has written down.
struct Call {
    kind: Decision,
    key: CallKey,
    output: Payload,
}

/// What became of a call.
struct Known {
    key: CallKey,
    result: CallResult,
}

#[derive(Clone)]
enum CallResult {
    Acted(Called),
    Undid(Called),
    Voided(Voided),
}

type Nexts = HashMap<Uuid, Next>;

async fn send_out(
    context: &Arc<Context>,
    handler: &Arc<dyn ExternalHandler>,
    calls: &mut JoinSet<(InHand, Known)>,
    pieces: Vec<(Vec<InHand>, Nexts)>,
) {
    for (piece, mut nexts) in pieces {
        let mut answers = Vec::new();
        for one in piece {
            match nexts.remove(&one.command.saga_id) {
                Some(Next::Answer(reply)) => answers.push((one, reply)),
                Some(Next::Call(call)) => {
                    let (context, handler) = (Arc::clone(context), Arc::clone(handler));
                    calls.spawn(async move {
                        let known = make(&context, handler.as_ref(), &one.command, call).await;
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
async fn make(context: &Context, handler: &dyn ExternalHandler, command: &Command, call: Call) -> Known {
    let _permit = context.calls.acquire().await;
    let Call { kind, key, output } = call;
    let calling = async {
        match kind {
            Decision::Undo => CallResult::Undid(handler.compensate(command, &output, &key).await),
            Decision::MakeKnown => CallResult::Voided(make_known(handler, command, &key).await),
            Decision::Act | Decision::Answer(_) => CallResult::Acted(handler.execute(command, &key).await),
        }
    };
    let result = match AssertUnwindSafe(calling).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => match key.action {
            Action::Compensate => CallResult::Undid(Called::unknown(said(panic.as_ref()))),
            Action::Execute if command.action == Action::Compensate => {
                CallResult::Voided(Voided::Unknown(said(panic.as_ref())))
            }
            Action::Execute => CallResult::Acted(Called::unknown(said(panic.as_ref()))),
        },
    };
    Known { key, result }
}

/// Voids the action by its key, or repeats it with that key: either way the answer is definite, or unknown still.
async fn make_known(handler: &dyn ExternalHandler, command: &Command, key: &CallKey) -> Voided {
    match handler.void(command, key).await {
        Voided::Unsupported => match handler.execute(command, key).await {
            Called::Done(output) => Voided::Happened(output),
            Called::Failed(_) | Called::Again(_) => Voided::Never,
            Called::Later { reason, .. } | Called::Unknown(reason) => Voided::Unknown(reason),
        },
        definite => definite,
    }
}

/// The transaction before the calls.
struct Plan;

#[async_trait]
impl InLedger for Plan {
    type Made = Nexts;

    async fn attempt(&self, context: &Context, batch: &[&Command]) -> Result<Nexts, sqlx::Error> {
        let mut commands = batch.to_vec();
        let mut tx = context.ledger.begin().await?;
        let now = today();
        let entries = take(&mut tx, keys(&mut commands, now)).await?;
        let mut nexts = Nexts::new();
        let mut rows = Vec::new();
        for mut step in decide(&commands, entries, now) {
            if step.decision == Decision::Act && step.entry.state != State::Intended {
                step.entry.intend(step.command);
            }
            nexts.insert(step.command.saga_id, next(&step.entry, step.decision));
            rows.push(step.entry);
        }
        write(&mut tx, &rows).await?;
        tx.commit().await?;
        Ok(nexts)
    }
}

fn next(entry: &Entry, decision: Decision) -> Next {
    let action = match decision {
        Decision::Answer(reply) => return Next::Answer(reply),
        Decision::Act | Decision::MakeKnown => Action::Execute,
        Decision::Undo => Action::Compensate,
    };
    let key = CallKey { text: entry.key(action), action, n: entry.key_number(action) };
    Next::Call(Call { kind: decision, key, output: entry.output() })
}

/// The transaction after the calls.
struct Outcomes(HashMap<Uuid, Known>);

#[async_trait]
impl InLedger for Outcomes {
    type Made = Nexts;

    async fn attempt(&self, context: &Context, batch: &[&Command]) -> Result<Nexts, sqlx::Error> {
        let mut commands = batch.to_vec();
        let mut tx = context.ledger.begin().await?;
        let entries = lock(&mut tx, &keys(&mut commands, today())).await?;
        let mut rows: HashMap<Uuid, Entry> = entries.into_iter().map(|entry| (entry.saga_id, entry)).collect();
        let mut nexts = Nexts::new();
        for command in commands {
            let known = self.0.get(&command.saga_id);
            let (Some(entry), Some(known)) = (rows.get_mut(&command.saga_id), known) else { continue };
            nexts.insert(command.saga_id, record(entry, command, known));
        }
        let rows: Vec<Entry> = rows.into_values().collect();
        write(&mut tx, &rows).await?;
        tx.commit().await?;
        Ok(nexts)
    }
}

/// Writes an outcome over `intended` alone, and over what the same key was used for; a later one is dropped, and the
/// command answered by what the row has become.
fn record(entry: &mut Entry, command: &Command, known: &Known) -> Next {
    let expected = match known.result {
        CallResult::Acted(_) | CallResult::Voided(_) => State::Intended,
        CallResult::Undid(_) => State::Done,
    };
    if entry.state != expected || entry.key_number(known.key.action) != known.key.n {
        return match entry.decide(command) {
            Decision::Answer(reply) => Next::Answer(reply),
            Decision::Act | Decision::Undo | Decision::MakeKnown => {
                Next::Answer(entry.unknown(command, "somebody else has made the call meanwhile"))
            }
        };
    }
    match known.result.clone() {
        CallResult::Acted(called) | CallResult::Undid(called) => Next::Answer(called_back(entry, command, called)),
        CallResult::Voided(Voided::Never) => Next::Answer(entry.never_happened(command)),
        CallResult::Voided(Voided::Happened(output)) => {
            entry.happened(output);
            next(entry, Decision::Undo)
        }
        CallResult::Voided(Voided::Unknown(reason)) => Next::Answer(entry.unknown(command, &reason)),
        CallResult::Voided(Voided::Unsupported) => Next::Answer(entry.unknown(command, "it cannot be voided")),
    }
}

fn called_back(entry: &mut Entry, command: &Command, called: Called) -> Reply {
    let settle = |entry: &mut Entry, made| match command.action {
        Action::Execute => entry.acted(command, made),
        Action::Compensate => entry.undid(command, made),
    };
    match called {
        Called::Done(output) => {
            // What has happened has happened, and is undone the same way without its output.
            let output = if over_limit(&output).is_some() { Payload::null() } else { output };
            settle(entry, Made::Completed(output))
        }
        Called::Failed(failure) | Called::Again(failure) => {
            entry.replace_key(command.action);
            settle(entry, Made::Failed(failure.cut_to_limits()))
        }
        Called::Later { reason, after } => deferred(command, &reason, after),
        Called::Unknown(reason) => entry.unknown(command, &reason),
    }
}
