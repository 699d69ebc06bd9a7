//! Worker `deliver`: books a courier, who delivers by himself or as a person says. Compensated: he is called off.

use super::auto::Auto;
use super::input::{OrderInput, fill, sift};
use crate::tables::deliver::{self, Booking};
use async_trait::async_trait;
use saga_protocol::Payload;
use saga_protocol::message::Command;
use saga_worker::ledger::{Completion, Tx};
use saga_worker::{Compensation, DueStep, Handler};
use saga_worker::{HandlerError, Outcome};
use uuid::Uuid;

/// The handler.
#[derive(Debug)]
pub struct Deliver {
    /// When the courier has delivered.
    pub auto: Auto,
}

#[async_trait]
impl Handler for Deliver {
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
        deliver::set_status(tx, &[command.saga_id], "called_off").await?;
        Ok(Outcome::Done(Payload::empty()))
    }

    async fn execute_all(
        &self,
        commands: &[&Command],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let (bookings, outcomes) = sift(commands, booking);
        deliver::book(
            tx,
            &bookings,
            if self.auto.at_once() {
                "delivered"
            } else {
                "booked"
            },
        )
        .await?;
        Ok(Some(fill(
            outcomes,
            bookings
                .iter()
                .map(|booking| self.auto.answer(output(booking))),
        )))
    }

    async fn compensate_all(
        &self,
        undos: &[Compensation<'_>],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let sagas: Vec<Uuid> = undos.iter().map(|undo| undo.command.saga_id).collect();
        deliver::set_status(tx, &sagas, "called_off").await?;
        Ok(Some(
            undos
                .iter()
                .map(|_| Outcome::Done(Payload::empty()))
                .collect(),
        ))
    }

    async fn finish(&self, due: &[DueStep], tx: &mut Tx) -> Result<Vec<Completion>, HandlerError> {
        let sagas: Vec<Uuid> = due.iter().map(|due| due.saga_id).collect();
        deliver::set_status(tx, &sagas, "delivered").await?;
        Ok(due
            .iter()
            .map(|due| Completion::Completed(due.output.clone()))
            .collect())
    }
}

fn booking(command: &Command) -> Result<Booking, Outcome> {
    let input = OrderInput::of(command)?;
    Ok(Booking {
        saga_id: command.saga_id,
        order_id: command.key.clone(),
        customer: input.customer,
    })
}

fn output(booking: &Booking) -> Payload {
    serde_json::json!({ "booking": booking.saga_id }).into()
}
