//! Calling handlers, whatever they do: an error or a panic becomes an answer, or spoils the set it was made in.

use crate::handler::{Compensation, Handler};
use crate::ledger::Tx;
use crate::outcome::{HandlerError, Outcome};
use futures::FutureExt;
use saga_protocol::Payload;
use saga_protocol::message::{Command, code};
use saga_protocol::{Action, Failure};
use std::any::Any;
use std::panic::AssertUnwindSafe;

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Its command.
    pub command: &'a Command,
    /// With a compensation: what the action answered.
    pub output: &'a Payload,
}

/// What became of calling a handler.
pub enum HandlerRun<T> {
    /// It answered.
    Ok(T),
    /// It could not, and what it wrote must be taken back.
    RolledBack(Outcome),
}

/// Does all of them, of one direction, in one transaction. `Spoiled`: one of them failed in a way that leaves a trace,
/// so all must be taken back and done one by one.
///
/// # Errors
/// If the database is gone.
pub async fn together(
    handler: &dyn Handler,
    action: Action,
    tasks: &[Task<'_>],
    tx: &mut Tx,
) -> Result<HandlerRun<Vec<Outcome>>, sqlx::Error> {
    let whole = match action {
        Action::Execute => {
            let commands: Vec<&Command> = tasks.iter().map(|task| task.command).collect();
            catch_panic(handler.execute_all(&commands, tx)).await?
        }
        Action::Compensate => {
            let undos: Vec<Compensation<'_>> = tasks
                .iter()
                .map(|task| Compensation {
                    command: task.command,
                    output: task.output,
                })
                .collect();
            catch_panic(handler.compensate_all(&undos, tx)).await?
        }
    };
    match whole {
        HandlerRun::RolledBack(outcome) => return Ok(HandlerRun::RolledBack(outcome)),
        HandlerRun::Ok(Some(outcomes)) if outcomes.len() != tasks.len() => {
            let message = format!(
                "{} commands were answered with {} outcomes",
                tasks.len(),
                outcomes.len()
            );
            return Ok(HandlerRun::RolledBack(Outcome::retry(message)));
        }
        HandlerRun::Ok(Some(outcomes)) => {
            // What the set left out it has not written; what it wrote must be allowed to stand.
            let spoiled = outcomes.iter().find_map(|outcome| refused(action, outcome));
            return Ok(spoiled.map_or(HandlerRun::Ok(outcomes), HandlerRun::RolledBack));
        }
        HandlerRun::Ok(None) => {}
    }
    let mut outcomes = Vec::with_capacity(tasks.len());
    for task in tasks {
        match one(handler, action, *task, tx).await? {
            HandlerRun::Ok(outcome) if outcome.has_effect() => outcomes.push(outcome),
            HandlerRun::Ok(outcome) | HandlerRun::RolledBack(outcome) => {
                return Ok(HandlerRun::RolledBack(outcome));
            }
        }
    }
    Ok(HandlerRun::Ok(outcomes))
}

/// Does one of them. Whatever is not `Answered` with an effect must be taken back.
///
/// # Errors
/// If the database is gone.
pub async fn one(
    handler: &dyn Handler,
    action: Action,
    task: Task<'_>,
    tx: &mut Tx,
) -> Result<HandlerRun<Outcome>, sqlx::Error> {
    let ran = match action {
        Action::Execute => catch_panic(handler.execute(task.command, tx)).await?,
        Action::Compensate => {
            catch_panic(handler.compensate(task.command, task.output, tx)).await?
        }
    };
    Ok(match ran {
        HandlerRun::Ok(outcome) => {
            refused(action, &outcome).map_or(HandlerRun::Ok(outcome), HandlerRun::RolledBack)
        }
        HandlerRun::RolledBack(outcome) => HandlerRun::RolledBack(outcome),
    })
}

/// The failure of an answer that may not be given: too large an output, a compensation that is taken on.
fn refused(action: Action, outcome: &Outcome) -> Option<Outcome> {
    if action == Action::Compensate && matches!(outcome, Outcome::Accepted { .. }) {
        return Some(Outcome::failed(
            code::INVALID_REPLY,
            "a compensation may not answer accepted",
        ));
    }
    let within = outcome.clone().within_limits();
    (within != *outcome).then_some(within)
}

/// Runs it to its end, panics included.
///
/// # Errors
/// If the database is gone.
pub async fn catch_panic<T>(
    run: impl Future<Output = Result<T, HandlerError>> + Send,
) -> Result<HandlerRun<T>, sqlx::Error> {
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(Ok(value)) => Ok(HandlerRun::Ok(value)),
        Ok(Err(trouble)) => match trouble.outage() {
            Ok(outage) => Err(outage),
            Err(trouble) => Ok(HandlerRun::RolledBack(trouble.into_outcome())),
        },
        Err(panic) => Ok(HandlerRun::RolledBack(Outcome::Retry(Failure::retryable(
            code::PANICKED,
            said(panic.as_ref()),
        )))),
    }
}

/// What a panic said.
pub fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "the handler panicked: {}",
        text.as_deref().unwrap_or("it said nothing")
    )
}
