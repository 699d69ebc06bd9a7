//! Worker `store`: opens a kitchen ticket, which is confirmed automatically or by an operator.
//! Compensation: the ticket is withdrawn.

use super::auto::Auto;
use super::input::{OrderInput, all_compensated, items_json, merge, partition, single};
use crate::tables::store::{self, Ticket};
use saga_worker::{
    Command, Compensation, Completion, DueStep, Handler, HandlerError, Outcome, Payload, Tx, Uuid,
    async_trait,
};

/// The handler.
#[derive(Debug)]
pub struct Store {
    /// When tickets are confirmed.
    pub auto: Auto,
}

#[async_trait]
impl Handler for Store {
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
        self.execute_all(&[command], tx).await.map(single)
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
        let (tickets, outcomes) = partition(commands, ticket);
        let status = if self.auto.is_immediate() {
            "confirmed"
        } else {
            "waiting"
        };
        store::insert(tx, &tickets, status).await?;

        let ticket_outcomes = tickets
            .iter()
            .map(|ticket| self.auto.outcome(output(ticket)));
        Ok(Some(merge(outcomes, ticket_outcomes)))
    }

    async fn compensate_all(
        &self,
        compensations: &[Compensation<'_>],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let sagas: Vec<Uuid> = compensations
            .iter()
            .map(|compensation| compensation.command.saga_id)
            .collect();
        store::set_status(tx, &sagas, "withdrawn").await?;
        Ok(Some(all_compensated(sagas.len())))
    }

    async fn finish(&self, due: &[DueStep], tx: &mut Tx) -> Result<Vec<Completion>, HandlerError> {
        let sagas: Vec<Uuid> = due.iter().map(|step| step.saga_id).collect();
        store::set_status(tx, &sagas, "confirmed").await?;
        Ok(due
            .iter()
            .map(|step| Completion::Completed(step.output.clone()))
            .collect())
    }
}

fn ticket(command: &Command) -> Result<Ticket, Outcome> {
    let input = OrderInput::decode(command)?;
    Ok(Ticket {
        saga_id: command.saga_id,
        order_id: command.key.clone(),
        store: input.store,
        items: items_json(command),
    })
}

fn output(ticket: &Ticket) -> Payload {
    serde_json::json!({ "ticket": ticket.saga_id, "store": ticket.store }).into()
}
