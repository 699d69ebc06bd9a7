//! The limits and timeouts of transitions.

use crate::definition;
use crate::saga::Step;
use saga_protocol::Action;
use saga_protocol::message::MAX_COMMAND_BYTES;
use std::time::Duration;

/// Timeout of the last query to the ledger of a waiting step (rule B5).
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of a command that only revokes the action of a step without compensation (rule B1).
pub(super) const REVOKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Shortest deferral, so that a worker cannot busy-loop.
pub const MIN_DEFERRAL: Duration = Duration::from_secs(1);
/// Longest deferral, so that a step cannot stall unnoticed.
pub const MAX_DEFERRAL: Duration = Duration::from_secs(300);
/// Largest sum of a saga's input and of its steps' outputs: 20 KiB below [`MAX_COMMAND_BYTES`] for the other fields of
/// a command, so that every command can be sent.
pub const MAX_PAYLOAD_BYTES: usize = MAX_COMMAND_BYTES - 20 * 1024;

/// How long a reply may take: the timeout of the step or of its compensation, or 30 s if the ledger is only queried
/// once more or only revokes.
pub fn reply_timeout(step: &Step, definition: &definition::Step, action: Action) -> Duration {
    match (action, &definition.compensation) {
        (Action::Execute, _) if step.confirming => CONFIRM_TIMEOUT,
        (Action::Execute, _) => definition.timeout,
        (Action::Compensate, Some(compensation)) => compensation.timeout,
        (Action::Compensate, None) => REVOKE_TIMEOUT,
    }
}
