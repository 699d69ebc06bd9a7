//! How a saga moves: [`start`] and [`apply`], pure functions of the definition, the saga, the input and the moment.
//!
//! Everything that can happen to a saga is one `match` over the inputs, below. What an input does is written into
//! a machine, which then brings the saga as far as it can go and says what that asks of the world.

mod backward;
mod compensate_replies;
mod deadline;
mod execute_replies;
mod explain;
mod forward;
pub mod input;
mod machine;
mod operator;
mod outcome;
mod outside;
mod start;
#[cfg(test)]
mod tests;
mod timer;
mod wake;

pub use deadline::cancel_rejection;
pub use explain::waiting_for;
pub use input::Input;
pub use outcome::{Decision, Effect, IgnoredReason, Rejection, StatusChange, Transition};
pub use start::start;
pub use wake::next_timer_at;

use crate::definition::{self, Definition};
use crate::saga::{Saga, Step};
use machine::Machine;
use saga_protocol::Action;
use saga_protocol::message::Reply;
use saga_protocol::{Payload, Time};
use std::time::Duration;

/// What stays the same for a saga's whole life.
#[derive(Clone, Copy, Debug)]
pub struct SagaContext<'a> {
    /// The version of the workflow that it began with.
    pub definition: &'a Definition,
    /// What it was started with.
    pub input: &'a Payload,
}

/// How long a waiting step's ledger may take to answer when it is asked once more.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a command that only revokes an action may be out: of a step without compensation (rule B1).
const REVOKE_TIMEOUT: Duration = Duration::from_secs(30);
/// A deferral is for this long at the least, so that a worker cannot spin,
pub const MIN_DEFERRAL: Duration = Duration::from_secs(1);
/// and for this long at the most, so that it cannot forget.
pub const MAX_DEFERRAL: Duration = Duration::from_secs(300);
/// Largest sum of a saga's input and its steps' outputs: with the rest of a command below
/// [`saga_protocol::message::MAX_COMMAND_BYTES`], so that no command is ever too large to be sent.
pub const MAX_PAYLOAD_BYTES: usize = saga_protocol::message::MAX_COMMAND_BYTES - 20 * 1024;

/// How long the answer to a command may take: a step's own time, that of its compensation, or, if its ledger is only
/// asked once more or told to revoke, 30 s.
pub fn reply_timeout(step: &Step, of: &definition::Step, action: Action) -> Duration {
    match (action, &of.compensation) {
        (Action::Execute, _) if step.confirming => ASK_TIMEOUT,
        (Action::Execute, _) => of.timeout,
        (Action::Compensate, Some(compensation)) => compensation.timeout,
        (Action::Compensate, None) => REVOKE_TIMEOUT,
    }
}

/// What a step handler inside this module answers: go on and write it down, or why not.
type Verdict = Result<(), Decision>;

/// Applies one input to one saga at one moment.
///
/// `now` never goes back for a saga: a moment before its last transition counts as that transition's.
pub fn apply(context: SagaContext<'_>, saga: &Saga, input: &Input, now: Time) -> Decision {
    if let Input::Reply(reply) = input
        && let Some(reason) = cannot_count(saga, reply)
    {
        return Decision::Ignored(reason);
    }
    let mut machine = Machine::new(context, saga, now.max(saga.updated_at));
    let verdict = match input {
        Input::Start(_) => Err(Decision::Ignored(IgnoredReason::Duplicate)),
        Input::Reply(reply) => take_reply(&mut machine, reply),
        Input::Timer(timer) => machine.timer(timer),
        Input::Cancel(reason) => machine.cancel(reason),
        Input::Complete(complete) => machine.complete(complete),
        Input::Fail(fail) => machine.fail(fail),
        Input::Retry(reason) => machine.retry(reason),
        Input::Pause(reason) => machine.pause(reason),
        Input::Resume(reason) => machine.resume(reason),
        Input::Resolve(resolve) => machine.resolve(resolve),
        Input::Undeliverable(undeliverable) => machine.undeliverable(undeliverable),
    };
    match verdict {
        Ok(()) => Decision::Applied(Box::new(machine.finish())),
        Err(decision) => decision,
    }
}

/// Why a reply changes nothing, whatever it says: told apart first, since late ones are many after a cancel, and a
/// saga is copied before it moves.
fn cannot_count(saga: &Saga, reply: &Reply) -> Option<IgnoredReason> {
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

fn take_reply(machine: &mut Machine<'_>, reply: &Reply) -> Verdict {
    let Some(step) = machine.saga.index(&reply.step) else {
        return Err(Decision::Ignored(IgnoredReason::UnknownStep));
    };
    match reply.action {
        Action::Execute => machine.execute_reply(step, reply),
        Action::Compensate => machine.compensate_reply(step, reply),
    }
}
