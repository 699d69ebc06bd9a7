//! Completion of an accepted step, in the transaction of its effect (rule B5).

use super::entries::{self, LedgerKey};
use super::tx::Tx;
use saga_protocol::ledger::{self, RecordedReply};
use saga_protocol::{Failure, Payload, Time};
use uuid::Uuid;

/// How an accepted step ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The step is completed, with its output: JSON of at most 64 KiB.
    Completed(Payload),
    /// The step fails, and nothing that it wrote remains.
    Failed(Failure),
}

impl Completion {
    pub(crate) fn into_reply(self) -> RecordedReply {
        match self {
            Self::Completed(output) => RecordedReply::completed(output),
            Self::Failed(failure) => RecordedReply::failed(failure),
        }
    }
}

/// Records how an accepted step ends, for steps that a person or another system completes.
///
/// Call it first in the transaction that changes the step's own tables (a ticket, a booking), and
/// make those changes only if it returns `true`. `false` means that the step has already ended or was
/// compensated. The running worker sends the reply to the orchestrator, and repeats it until it is
/// acknowledged.
///
/// # Errors
/// An error of the database.
pub async fn finish(
    tx: &mut Tx,
    saga_id: Uuid,
    step: &str,
    completion: Completion,
) -> Result<bool, sqlx::Error> {
    let key = LedgerKey {
        saga_id,
        step: step.to_owned(),
        needed_until: Time::default(),
    };
    let mut entries = entries::lock(tx, &[key]).await?;
    let now = tx.now().await?;

    let Some(entry) = entries.first_mut() else {
        return Ok(false);
    };
    if !ledger::finish(entry, completion.into_reply(), now) {
        return Ok(false);
    }

    entries::update(tx, &entries).await?;
    Ok(true)
}
