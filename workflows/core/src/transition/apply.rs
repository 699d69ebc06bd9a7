//! Applies an input to a saga.

use super::decision::{Decision, IgnoredReason, InputResult};
use super::input::Input;
use super::machine::{Machine, SagaContext};
use crate::saga::Saga;
use saga_protocol::message::Reply;
use saga_protocol::{Action, Time};

/// Applies one input to one saga.
///
/// Time never goes back for a saga: a `now` before its last transition counts as the time of that transition.
pub fn apply(context: SagaContext<'_>, saga: &Saga, input: &Input, now: Time) -> Decision {
    // Checked before the machine copies the saga, because a cancel is followed by many late replies.
    if let Input::Reply(reply) = input
        && let Some(reason) = ignored_reason(saga, reply)
    {
        return Decision::Ignored(reason);
    }

    let mut machine = Machine::new(context, saga, now.max(saga.updated_at));
    let result = match input {
        Input::Start(_) => Err(Decision::Ignored(IgnoredReason::Duplicate)),
        Input::Reply(reply) => apply_reply(&mut machine, reply),
        Input::Timer(timer) => machine.timer(timer),
        Input::Cancel(request) => machine.cancel(request),
        Input::Complete(complete) => machine.complete(complete),
        Input::Fail(fail) => machine.fail(fail),
        Input::Retry(_) => machine.retry(),
        Input::Pause(request) => machine.pause(request),
        Input::Resume(request) => machine.resume(request),
        Input::Resolve(resolve) => machine.resolve(resolve),
        Input::Undeliverable(undeliverable) => machine.undeliverable(undeliverable),
    };

    match result {
        Ok(()) => {
            machine.advance();
            Decision::Applied(Box::new(machine.into_transition()))
        }
        Err(decision) => decision,
    }
}

/// Why a reply changes nothing, whatever its outcome.
fn ignored_reason(saga: &Saga, reply: &Reply) -> Option<IgnoredReason> {
    if saga.index(&reply.step).is_none() {
        Some(IgnoredReason::UnknownStep)
    } else if saga.status.is_finished() {
        Some(IgnoredReason::AlreadyEnded)
    } else if reply.action == Action::Execute && saga.is_rolling_back() {
        Some(IgnoredReason::Late)
    } else {
        None
    }
}

fn apply_reply(machine: &mut Machine<'_>, reply: &Reply) -> InputResult {
    let Some(step) = machine.saga.index(&reply.step) else {
        return Err(Decision::Ignored(IgnoredReason::UnknownStep));
    };
    match reply.action {
        Action::Execute => machine.execute_reply(step, reply),
        Action::Compensate => machine.compensate_reply(step, reply),
    }
}
