//! B5: how a step that was taken on comes to its end, in the transaction of the effect itself.

use super::entries::{self as rows, Key};
use super::tx::Tx;
use saga_protocol::Failure;
use saga_protocol::ledger::{self, RecordedReply};
use saga_protocol::{Payload, Time};
use uuid::Uuid;

/// How a step that was taken on has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// It is done, with that output.
    Completed(Payload),
    /// It will not be done; nothing of it stands.
    Failed(Failure),
}

impl Completion {
    pub(crate) fn into_answer(self) -> RecordedReply {
        match self {
            Self::Completed(output) => RecordedReply::completed(output),
            Self::Failed(error) => RecordedReply::failed(error),
        }
    }
}

/// Writes down how a step that was taken on has ended. Call it first in the transaction that changes what the step is
/// about (a ticket, a booking), and change that only if it says true: false means that the step has ended already, or
/// was compensated. The running worker tells the orchestrator, however often it takes.
///
/// # Errors
/// Those of the database.
pub async fn finish(
    tx: &mut Tx,
    saga_id: Uuid,
    step: &str,
    finish: Completion,
) -> Result<bool, sqlx::Error> {
    let key = Key {
        saga_id,
        step: step.to_owned(),
        needed_until: Time::default(),
    };
    let mut entries = rows::lock(tx, &[key]).await?;
    let now = tx.now().await?;
    let Some(entry) = entries.first_mut() else {
        return Ok(false);
    };
    if !ledger::finish(entry, finish.into_answer(), now) {
        return Ok(false);
    }
    rows::write(tx, &entries).await?;
    Ok(true)
}
