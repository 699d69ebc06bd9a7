//! Worker `store`: a ticket for the kitchen, confirmed by itself or by a person. Compensated: the ticket is withdrawn.

use super::auto::Auto;
use super::input::{OrderInput, fill, items, sift};
use crate::tables::store::{self, Ticket};
use async_trait::async_trait;
use saga_protocol::Payload;
use saga_protocol::message::Command;
use saga_worker::ledger::{Completion, Tx};
use saga_worker::{Compensation, DueStep, Handler};
use saga_worker::{HandlerError, Outcome};
use uuid::Uuid;

/// The handler.
#[derive(Debug)]
pub struct Store {
    /// When the kitchen confirms.
    pub auto: Auto,
}

#[async_trait]
impl Handler for Store {
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
        let outcomes = self.execute_all(&[command], tx).await?.unwrap_or_default();
        Ok(outcomes
            .into_iter()
            .next()
            .unwrap_or_else(|| Outcome::retry("there is no outcome")))
    }

    async fn compensate(
        &self,
        command: &Command,
        _: &Payload,
        tx: &mut Tx,
    ) -> Result<Outcome, HandlerError> {
        store::set_status(tx, &[command.saga_id], "withdrawn").await?;
        Ok(Outcome::Done(Payload::empty()))
    }

    async fn execute_all(
        &self,
        commands: &[&Command],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let (tickets, outcomes) = sift(commands, ticket);
        store::open(
            tx,
            &tickets,
            if self.auto.at_once() {
                "confirmed"
            } else {
                "waiting"
            },
        )
        .await?;
        Ok(Some(fill(
            outcomes,
            tickets
                .iter()
                .map(|ticket| self.auto.answer(output(ticket))),
        )))
    }

    async fn compensate_all(
        &self,
        undos: &[Compensation<'_>],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let sagas: Vec<Uuid> = undos.iter().map(|undo| undo.command.saga_id).collect();
        store::set_status(tx, &sagas, "withdrawn").await?;
        Ok(Some(
            undos
                .iter()
                .map(|_| Outcome::Done(Payload::empty()))
                .collect(),
        ))
    }

    async fn finish(&self, due: &[DueStep], tx: &mut Tx) -> Result<Vec<Completion>, HandlerError> {
        let sagas: Vec<Uuid> = due.iter().map(|due| due.saga_id).collect();
        store::set_status(tx, &sagas, "confirmed").await?;
        Ok(due
            .iter()
            .map(|due| Completion::Completed(due.output.clone()))
            .collect())
    }
}

fn ticket(command: &Command) -> Result<Ticket, Outcome> {
    let input = OrderInput::of(command)?;
    let order_id = command.key.clone();
    Ok(Ticket {
        saga_id: command.saga_id,
        order_id,
        store: input.store,
        items: items(command),
    })
}

fn output(ticket: &Ticket) -> Payload {
    serde_json::json!({ "ticket": ticket.saga_id, "store": ticket.store }).into()
}
