//! Calls to handlers. An error or a panic becomes an outcome; the caller then rolls back.

use crate::handler::{Compensation, Handler};
use crate::ledger::Tx;
use crate::outcome::{HandlerError, Outcome};
use futures::FutureExt;
use saga_protocol::message::{Command, code};
use saga_protocol::{Action, Failure, Payload};
use std::any::Any;
use std::panic::AssertUnwindSafe;

/// The arguments of a handler call.
#[derive(Clone, Copy, Debug)]
pub struct HandlerCall<'a> {
    pub command: &'a Command,
    /// For a compensation: the output of the action.
    pub output: &'a Payload,
}

/// The result of running a handler.
pub enum HandlerRun<T> {
    /// The handler returned.
    Ok(T),
    /// The handler failed, and the caller must roll back what it wrote.
    RolledBack(Outcome),
}

/// Runs the handler for calls of one direction in one transaction. `RolledBack` if one of them failed
/// and may have written something: the caller must roll back all and run them one by one.
///
/// # Errors
/// If the database is unavailable.
pub async fn run_batch(
    handler: &dyn Handler,
    action: Action,
    calls: &[HandlerCall<'_>],
    tx: &mut Tx,
) -> Result<HandlerRun<Vec<Outcome>>, sqlx::Error> {
    match run_set(handler, action, calls, tx).await? {
        HandlerRun::RolledBack(outcome) => return Ok(HandlerRun::RolledBack(outcome)),
        HandlerRun::Ok(Some(outcomes)) => return Ok(check_set(action, calls.len(), outcomes)),
        // The handler has no implementation for sets.
        HandlerRun::Ok(None) => {}
    }

    let mut outcomes = Vec::with_capacity(calls.len());
    for call in calls {
        match run_one(handler, action, *call, tx).await? {
            HandlerRun::Ok(outcome) if outcome.has_effect() => outcomes.push(outcome),
            HandlerRun::Ok(outcome) | HandlerRun::RolledBack(outcome) => {
                return Ok(HandlerRun::RolledBack(outcome));
            }
        }
    }
    Ok(HandlerRun::Ok(outcomes))
}

async fn run_set(
    handler: &dyn Handler,
    action: Action,
    calls: &[HandlerCall<'_>],
    tx: &mut Tx,
) -> Result<HandlerRun<Option<Vec<Outcome>>>, sqlx::Error> {
    match action {
        Action::Execute => {
            let commands: Vec<&Command> = calls.iter().map(|call| call.command).collect();
            catch_panic(handler.execute_all(&commands, tx)).await
        }
        Action::Compensate => {
            let compensations: Vec<Compensation<'_>> = calls
                .iter()
                .map(|call| Compensation {
                    command: call.command,
                    output: call.output,
                })
                .collect();
            catch_panic(handler.compensate_all(&compensations, tx)).await
        }
    }
}

/// A set's outcomes stand only if there is one per call and each is valid. An outcome without effect
/// is fine: the handler has written nothing for that command.
fn check_set(action: Action, calls: usize, outcomes: Vec<Outcome>) -> HandlerRun<Vec<Outcome>> {
    if outcomes.len() != calls {
        let message = format!(
            "the handler returned {} outcomes for {calls} commands",
            outcomes.len()
        );
        return HandlerRun::RolledBack(Outcome::retry(message));
    }
    let invalid = outcomes
        .iter()
        .find_map(|outcome| invalid_outcome(action, outcome));
    match invalid {
        Some(failure) => HandlerRun::RolledBack(failure),
        None => HandlerRun::Ok(outcomes),
    }
}

/// Runs the handler once. Unless the result is `Ok` with an effect, the caller must roll back.
///
/// # Errors
/// If the database is unavailable.
pub async fn run_one(
    handler: &dyn Handler,
    action: Action,
    call: HandlerCall<'_>,
    tx: &mut Tx,
) -> Result<HandlerRun<Outcome>, sqlx::Error> {
    let run = match action {
        Action::Execute => catch_panic(handler.execute(call.command, tx)).await?,
        Action::Compensate => {
            catch_panic(handler.compensate(call.command, call.output, tx)).await?
        }
    };
    Ok(match run {
        HandlerRun::Ok(outcome) => match invalid_outcome(action, &outcome) {
            Some(failure) => HandlerRun::RolledBack(failure),
            None => HandlerRun::Ok(outcome),
        },
        HandlerRun::RolledBack(outcome) => HandlerRun::RolledBack(outcome),
    })
}

/// The failure that replaces an outcome which is not allowed: a compensation that answers `accepted`,
/// or an output over the limit.
fn invalid_outcome(action: Action, outcome: &Outcome) -> Option<Outcome> {
    if action == Action::Compensate && matches!(outcome, Outcome::Accepted { .. }) {
        return Some(Outcome::failed(
            code::INVALID_REPLY,
            "a compensation must not answer accepted",
        ));
    }
    outcome.output_too_large().map(Outcome::Failed)
}

/// Awaits a handler's future and turns an error or a panic into an outcome.
///
/// # Errors
/// If the database is unavailable: the whole transaction is then retried.
pub async fn catch_panic<T>(
    run: impl Future<Output = Result<T, HandlerError>> + Send,
) -> Result<HandlerRun<T>, sqlx::Error> {
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(Ok(value)) => Ok(HandlerRun::Ok(value)),
        Ok(Err(error)) => match error.into_outage() {
            Ok(outage) => Err(outage),
            Err(error) => Ok(HandlerRun::RolledBack(error.into_outcome())),
        },
        Err(panic) => {
            let failure = Failure::retryable(code::PANICKED, panic_message(panic.as_ref()));
            Ok(HandlerRun::RolledBack(Outcome::Retry(failure)))
        }
    }
}

/// The message of a handler's panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    format!("the handler panicked: {message}")
}
