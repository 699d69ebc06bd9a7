//! A batch whose effects are in the worker's own database: rows, handlers and outcomes in one transaction.

use super::batch::{Step, decide, keys};
use super::call_handler::{HandlerRun, Task, one, together};
use super::context::{Context, LedgerTx, today};
use super::saga_locks::InFlight;
use crate::handler::Handler;
use crate::ledger::{Tx, take, write};
use crate::outcome::Outcome;
use async_trait::async_trait;
use saga_protocol::Action;
use saga_protocol::ledger::HandlerKind;
use saga_protocol::message::{Command, Reply};
use saga_protocol::{Payload, Time};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Does a batch: commit, then replies, then acknowledgements.
pub async fn run(context: &Context, handler: &Arc<dyn Handler>, batch: Vec<InFlight>) {
    let batch = context.dead_letter_expired(batch).await;
    for (piece, mut replies) in context.run_with_bisection(batch, &Inside(handler)).await {
        let reply = |one: InFlight| {
            replies
                .remove(&one.command.saga_id)
                .map(|reply| (one, reply))
        };
        context
            .answer(piece.into_iter().filter_map(reply).collect())
            .await;
    }
}

/// One transaction of such a batch.
struct Inside<'a>(&'a Arc<dyn Handler>);

/// The replies, by saga: a batch has one command of each.
type Replies = HashMap<Uuid, Reply>;

#[async_trait]
impl LedgerTx for Inside<'_> {
    type Made = Replies;

    /// First with all handlers in one go. If one of them fails, all is taken back, and they run one by one, each behind
    /// a savepoint of its own: nothing but time is lost, since all that a handler does is in the transaction.
    async fn attempt(&self, context: &Context, batch: &[&Command]) -> Result<Replies, sqlx::Error> {
        let mut commands = batch.to_vec();
        let handler = self.0.as_ref();
        match attempt(context, handler, &mut commands, false).await? {
            Some(replies) => Ok(replies),
            None => attempt(context, handler, &mut commands, true)
                .await
                .map(Option::unwrap_or_default),
        }
    }
}

/// `None`: a handler failed, and all was taken back.
async fn attempt(
    context: &Context,
    handler: &dyn Handler,
    commands: &mut [&Command],
    one_by_one: bool,
) -> Result<Option<Replies>, sqlx::Error> {
    let mut tx = context.ledger.begin().await?;
    let now = today();
    let entries = take(&mut tx, keys(commands, now)).await?;
    let mut steps = decide(commands, entries, HandlerKind::Transactional, now);
    let clean = if one_by_one {
        run_one_by_one(handler, &mut steps, &mut tx).await?;
        true
    } else {
        run_together(handler, &mut steps, &mut tx).await?
    };
    if !clean {
        tx.rollback().await?;
        return Ok(None);
    }
    let (entries, replies): (Vec<_>, Vec<_>) = steps.into_iter().map(Step::into_reply).unzip();
    write(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(Some(
        replies
            .into_iter()
            .map(|reply| (reply.saga_id, reply))
            .collect(),
    ))
}

/// Says whether all went well.
async fn run_together(
    handler: &dyn Handler,
    steps: &mut [Step<'_>],
    tx: &mut Tx,
) -> Result<bool, sqlx::Error> {
    for action in [Action::Execute, Action::Compensate] {
        let open: Vec<usize> = of(action, steps);
        if open.is_empty() {
            continue;
        }
        let outputs: Vec<Payload> = open.iter().map(|n| steps[*n].entry.output()).collect();
        let task = |(n, output): (&usize, _)| Task {
            command: steps[*n].command,
            output,
        };
        let tasks: Vec<Task<'_>> = open.iter().zip(&outputs).map(task).collect();
        let HandlerRun::Ok(outcomes) = together(handler, action, &tasks, tx).await? else {
            return Ok(false);
        };
        let now = time_for(&outcomes, tx).await?;
        for (n, outcome) in open.into_iter().zip(outcomes) {
            steps[n].settle(outcome, now);
        }
    }
    Ok(true)
}

fn of(action: Action, steps: &[Step<'_>]) -> Vec<usize> {
    let of = |step: &Step<'_>| step.call().is_some_and(|call| call.kind.action() == action);
    steps
        .iter()
        .enumerate()
        .filter(|(_, step)| of(step))
        .map(|(n, _)| n)
        .collect()
}

async fn run_one_by_one(
    handler: &dyn Handler,
    steps: &mut [Step<'_>],
    tx: &mut Tx,
) -> Result<(), sqlx::Error> {
    for step in steps.iter_mut().filter(|step| step.call().is_some()) {
        tx.savepoint().await?;
        let output = step.entry.output();
        let task = Task {
            command: step.command,
            output: &output,
        };
        let outcome = match one(handler, step.command.action, task, tx).await? {
            HandlerRun::Ok(outcome) if outcome.has_effect() => {
                tx.release_savepoint().await?;
                outcome
            }
            HandlerRun::Ok(outcome) | HandlerRun::RolledBack(outcome) => {
                tx.back_to_savepoint().await?;
                let command = step.command;
                let (saga, step) = (command.saga_id, command.step.as_str());
                tracing::debug!(saga.id = %saga, step, "command {}: {outcome:?}", command.id());
                outcome
            }
        };
        let now = time_for(std::slice::from_ref(&outcome), tx).await?;
        step.settle(outcome, now);
    }
    Ok(())
}

/// The database's time, asked for only if an outcome needs it.
async fn time_for(outcomes: &[Outcome], tx: &mut Tx) -> Result<Time, sqlx::Error> {
    let timed = |outcome: &Outcome| matches!(outcome, Outcome::Accepted { after: Some(_), .. });
    if outcomes.iter().any(timed) {
        tx.now().await
    } else {
        Ok(Time::default())
    }
}
