//! A4: how old a command may be.

use crate::Time;
use crate::message::Command;
use std::time::Duration;

/// A command older than this is a dead letter: the engine has long decided anew.
pub const COMMAND_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A4: whether a command is put away unconsumed, whatever its row says.
pub fn is_too_old(command: &Command, now: Time) -> bool {
    now.since(command.decided_at) > COMMAND_LIFE
}
