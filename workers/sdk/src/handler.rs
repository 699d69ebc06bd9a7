//! The two traits that the author of a worker implements: [`Handler`] and [`ExternalHandler`].

use crate::ledger::{Completion, Tx};
use crate::outcome::{CallOutcome, HandlerError, Outcome, VoidOutcome};
use async_trait::async_trait;
use saga_protocol::message::Command;
use saga_protocol::{Action, Payload};
use std::sync::Arc;
use uuid::Uuid;

/// Executes a step by writing to the worker's own database.
///
/// A handler works in the ledger's transaction: what it writes and what the ledger records are
/// committed together or not at all. It therefore needs no check of its own for repeated commands.
/// It must have no effect outside the transaction, because the runtime may roll back a call and repeat
/// it.
///
/// ```no_run
/// use saga_worker::{Command, Handler, HandlerError, Outcome, Payload, Tx, async_trait};
///
/// /// Reserves a table for a guest.
/// struct Tables;
///
/// #[async_trait]
/// impl Handler for Tables {
///     async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
///         let free = tx
///             .sql("select number from tables where saga_id is null limit 1 {for_update}")
///             .fetch()
///             .await?;
///         let Some(table) = free.first() else {
///             return Ok(Outcome::failed("full", "no table is free"));
///         };
///
///         let number = table.int(0)?;
///         tx.sql("update tables set saga_id = $1 where number = $2")
///             .bind(command.saga_id)
///             .bind(number)
///             .execute()
///             .await?;
///         Ok(Outcome::done(serde_json::json!({ "table": number })))
///     }
///
///     async fn compensate(
///         &self,
///         command: &Command,
///         _output: &Payload,
///         tx: &mut Tx,
///     ) -> Result<Outcome, HandlerError> {
///         tx.sql("update tables set saga_id = null where saga_id = $1")
///             .bind(command.saga_id)
///             .execute()
///             .await?;
///         Ok(Outcome::Done(Payload::empty()))
///     }
/// }
/// ```
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Executes the step. Its writes are rolled back unless it returns `Done` or `Accepted`.
    ///
    /// # Errors
    /// Any error; the command is answered as [`Outcome::retry`]. If the database is unavailable the
    /// whole batch is retried instead, and no attempt is counted.
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError>;

    /// Compensates the step, which has been executed; `output` is the output of the action. By
    /// default there is nothing to undo. Must not return `Accepted`.
    ///
    /// # Errors
    /// As [`Handler::execute`].
    async fn compensate(
        &self,
        command: &Command,
        output: &Payload,
        tx: &mut Tx,
    ) -> Result<Outcome, HandlerError> {
        let _ = (command, output, tx);
        Ok(Outcome::Done(Payload::empty()))
    }

    /// Executes many steps, each of another saga, with a few statements. Returns one outcome per
    /// command, in their order.
    ///
    /// For a command whose outcome is neither `Done` nor `Accepted` the handler itself must have
    /// written nothing. An error rolls everything back; the commands are then executed one by one.
    /// The default, `None`, executes them one by one from the start.
    ///
    /// # Errors
    /// As [`Handler::execute`].
    async fn execute_all(
        &self,
        commands: &[&Command],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let _ = (commands, tx);
        Ok(None)
    }

    /// Compensates many steps; otherwise as [`Handler::execute_all`].
    ///
    /// # Errors
    /// As [`Handler::execute`].
    async fn compensate_all(
        &self,
        compensations: &[Compensation<'_>],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let _ = (compensations, tx);
        Ok(None)
    }

    /// Ends steps that were accepted with [`Outcome::accepted_for`] and whose time has come. Returns
    /// one completion per step, in their order, which is committed with what the handler writes. By
    /// default the steps complete with the output that they were accepted with.
    ///
    /// # Errors
    /// Any error; the steps stay due and are retried after 30 s.
    async fn finish(&self, due: &[DueStep], tx: &mut Tx) -> Result<Vec<Completion>, HandlerError> {
        let _ = tx;
        Ok(due
            .iter()
            .map(|step| Completion::Completed(step.output.clone()))
            .collect())
    }
}

/// A compensation of a step that has been executed.
#[derive(Clone, Copy, Debug)]
pub struct Compensation<'a> {
    /// The command.
    pub command: &'a Command,
    /// The output of the action; null if it is not known.
    pub output: &'a Payload,
}

/// An accepted step whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueStep {
    /// The saga.
    pub saga_id: Uuid,
    /// The step.
    pub step: String,
    /// The output that the step was accepted with.
    pub output: Payload,
}

/// Executes a step by calling another system (rule A3).
///
/// The runtime commits the ledger row before a call, and its outcome after it; no transaction is open
/// during the call. A call may be repeated with the same key at any time and from any process, so the
/// other system must treat the key as an idempotency key.
#[async_trait]
pub trait ExternalHandler: Send + Sync + 'static {
    /// Executes the step.
    async fn execute(&self, command: &Command, key: &CallKey) -> CallOutcome;

    /// Compensates the step, which has been executed; `output` is the output of the action, null if
    /// it is not known.
    async fn compensate(&self, command: &Command, output: &Payload, key: &CallKey) -> CallOutcome;

    /// Voids the action's key, so that a call with it has no effect from now on, or finds out that it
    /// already had one. Implement it only if the other system rejects a voided key for good. By
    /// default voiding is not supported.
    async fn void(&self, command: &Command, key: &CallKey) -> VoidOutcome {
        let _ = (command, key);
        VoidOutcome::Unsupported
    }
}

/// The idempotency key of a call. It stays the same for as long as the outcome of the call is unknown,
/// and is replaced only after an outcome that proves that the call had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallKey {
    /// The key to send: `saga:step:action`, followed by `:generation` unless that is 0.
    pub text: String,
    /// The direction of the call.
    pub action: Action,
    /// How often the key was replaced.
    pub generation: u32,
}

/// The handler of a worker, of either kind.
#[derive(Clone)]
pub enum Work {
    /// A handler that writes to the worker's own database.
    Transactional(Arc<dyn Handler>),
    /// A handler that calls another system.
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
