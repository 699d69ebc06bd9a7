//! Worker `deliver`: books a courier, whose delivery is confirmed automatically or by an operator.
//! Compensation: the booking is called off.

use super::auto::Auto;
use super::input::{OrderInput, all_compensated, merge, partition, single};
use crate::tables::deliver::{self, Booking};
use saga_worker::{
    Command, Compensation, Completion, DueStep, Handler, HandlerError, Outcome, Payload, Tx, Uuid,
    async_trait,
};

/// The handler.
#[derive(Debug)]
pub struct Deliver {
    /// When deliveries are confirmed.
    pub auto: Auto,
}

#[async_trait]
impl Handler for Deliver {
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
        self.execute_all(&[command], tx).await.map(single)
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
        let (bookings, outcomes) = partition(commands, booking);
        let status = if self.auto.is_immediate() {
            "delivered"
        } else {
            "booked"
        };
        deliver::insert(tx, &bookings, status).await?;

        let booking_outcomes = bookings
            .iter()
            .map(|booking| self.auto.outcome(output(booking)));
        Ok(Some(merge(outcomes, booking_outcomes)))
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
        deliver::set_status(tx, &sagas, "called_off").await?;
        Ok(Some(all_compensated(sagas.len())))
    }

    async fn finish(&self, due: &[DueStep], tx: &mut Tx) -> Result<Vec<Completion>, HandlerError> {
        let sagas: Vec<Uuid> = due.iter().map(|step| step.saga_id).collect();
        deliver::set_status(tx, &sagas, "delivered").await?;
        Ok(due
            .iter()
            .map(|step| Completion::Completed(step.output.clone()))
            .collect())
    }
}

fn booking(command: &Command) -> Result<Booking, Outcome> {
    let input = OrderInput::decode(command)?;
    Ok(Booking {
        saga_id: command.saga_id,
        order_id: command.key.clone(),
        customer: input.customer,
    })
}

fn output(booking: &Booking) -> Payload {
    serde_json::json!({ "booking": booking.saga_id }).into()
}
