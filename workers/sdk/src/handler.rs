//! What does the work of a step: the two traits that a worker's author implements.
//!
//! A [`Handler`] works in the ledger's own transaction. That is all a newcomer needs: what it writes and what the
//! ledger remembers are committed together or not at all, so it never has to ask whether it has run before.
//!
//! ```no_run
//! use async_trait::async_trait;
//! use crate::{Handler, Outcome, HandlerError, Tx};
//! use saga_protocol::Payload;
//! use saga_protocol::message::Command;
//!
//! /// Takes a table for a guest, and gives it back.
//! struct Tables;
//!
//! #[async_trait]
//! impl Handler for Tables {
//!     async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
//!         let free = tx.sql("select number from tables where saga_id is null limit 1").fetch().await?;
//!         let Some(table) = free.first() else { return Ok(Outcome::failed("full", "no table is free")) };
//!         let number = table.int(0)?;
//!         let taken = tx.sql("update tables set saga_id = $1 where number = $2 and saga_id is null");
//!         match taken.bind(command.saga_id).bind(number).execute().await? {
//!             1 => Ok(Outcome::done(serde_json::json!({ "table": number }))),
//!             _ => Ok(Outcome::retry("somebody was faster")),
//!         }
//!     }
//!
//!     async fn compensate(&self, command: &Command, _: &Payload, tx: &mut Tx) -> Result<Outcome, HandlerError> {
//!         tx.sql("update tables set saga_id = null where saga_id = $1").bind(command.saga_id).execute().await?;
//!         Ok(Outcome::done(serde_json::json!({})))
//!     }
//! }
//! ```
//!
//! An [`ExternalHandler`] calls somebody outside the database, and must be able to say what it does not know.

use crate::ledger::{Completion, Tx};
use crate::outcome::{CallOutcome, HandlerError, Outcome, VoidOutcome};
use async_trait::async_trait;
use saga_protocol::Action;
use saga_protocol::Payload;
use saga_protocol::message::Command;
use std::sync::Arc;
use uuid::Uuid;

/// Does a step by writing into the worker's own database.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Does the step. Whatever it wrote is taken back unless it answers `done` or `accepted`; it may be run twice, the
    /// first run taken back. It must have no effect outside the transaction.
    ///
    /// # Errors
    /// Whatever `?` meets: the command is answered `retry`.
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError>;

    /// Undoes the step, which is known to have happened; `output` is what it answered then. By default there is nothing
    /// to undo.
    ///
    /// # Errors
    /// Whatever `?` meets: the command is answered `retry`.
    async fn compensate(
        &self,
        command: &Command,
        output: &Payload,
        tx: &mut Tx,
    ) -> Result<Outcome, HandlerError> {
        let _ = (command, output, tx);
        Ok(Outcome::Done(Payload::empty()))
    }

    /// Does many steps, each of another saga, in a few statements: one outcome for each, in their order. Here a handler
    /// that answers other than `done` or `accepted` has itself seen to it that it wrote nothing for that command. An
    /// error takes all of it back, and they are done one by one. `None`, the default: one by one from the first.
    ///
    /// # Errors
    /// Whatever `?` meets.
    async fn execute_all(
        &self,
        commands: &[&Command],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let _ = (commands, tx);
        Ok(None)
    }

    /// The same for compensations.
    ///
    /// # Errors
    /// Whatever `?` meets.
    async fn compensate_all(
        &self,
        undos: &[Compensation<'_>],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let _ = (undos, tx);
        Ok(None)
    }

    /// The time of these has come that answered [`Outcome::accepted_for`]: how each of them ends, in their order. What
    /// it writes is committed with the end itself. By default they are completed with the output they were accepted
    /// with.
    ///
    /// # Errors
    /// Whatever `?` meets: they stay due.
    async fn finish(&self, due: &[DueStep], tx: &mut Tx) -> Result<Vec<Completion>, HandlerError> {
        let _ = tx;
        Ok(due
            .iter()
            .map(|due| Completion::Completed(due.output.clone()))
            .collect())
    }
}

/// A compensation, and what its action answered.
#[derive(Clone, Copy, Debug)]
pub struct Compensation<'a> {
    /// The command.
    pub command: &'a Command,
    /// What the action put out; null if nobody knows.
    pub output: &'a Payload,
}

/// A step that was accepted, and whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueStep {
    /// The saga.
    pub saga_id: Uuid,
    /// The step.
    pub step: String,
    /// What it was accepted with.
    pub output: Payload,
}

/// Does a step by calling somebody outside the database (A3). No transaction is open during a call; what became of it
/// is written only while nobody knows it. A call may be made again with the same key, at any time and from any process.
#[async_trait]
pub trait ExternalHandler: Send + Sync + 'static {
    /// Does the step.
    async fn execute(&self, command: &Command, key: &CallKey) -> CallOutcome;

    /// Undoes the step, which is known to have happened; `output` is what it answered then.
    async fn compensate(&self, command: &Command, output: &Payload, key: &CallKey) -> CallOutcome;

    /// Makes sure that a call with that key of the action has no effect from now on, or learns that it had. Only where
    /// the other side then refuses that key for ever. By default it cannot.
    async fn void(&self, command: &Command, key: &CallKey) -> VoidOutcome {
        let _ = (command, key);
        VoidOutcome::Unsupported
    }
}

/// An idempotency key: `saga:step:action`, and `:n` once it was replaced. No attempt changes it while the outcome of a
/// call is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallKey {
    /// What the other side is to see.
    pub text: String,
    /// Of which direction.
    pub action: Action,
    /// How often it was replaced.
    pub n: u32,
}

/// The work of a worker, of either kind.
#[derive(Clone)]
pub enum Work {
    /// In the worker's own database.
    Transactional(Arc<dyn Handler>),
    /// By calls to somebody else.
    External(Arc<dyn ExternalHandler>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Transactional(_) => "Transactional",
            Self::External(_) => "External",
        })
    }
}
