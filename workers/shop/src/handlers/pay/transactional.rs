//! Payments that the worker approves itself, in a table of its own: for benchmarks without a gateway.

use crate::handlers::input::{OrderInput, all_compensated, merge, partition, single};
use crate::tables::pay::{self, Payment};
use saga_worker::{
    Command, Compensation, Handler, HandlerError, Outcome, Payload, Tx, Uuid, async_trait,
};

/// The handler. It approves every payment except those with the token `tok_declined`.
#[derive(Debug)]
pub struct PayTransactional;

#[async_trait]
impl Handler for PayTransactional {
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
        self.execute_all(&[command], tx).await.map(single)
    }

    async fn compensate(
        &self,
        command: &Command,
        _: &Payload,
        tx: &mut Tx,
    ) -> Result<Outcome, HandlerError> {
        pay::refund(tx, &[command.saga_id]).await?;
        Ok(Outcome::Done(Payload::empty()))
    }

    async fn execute_all(
        &self,
        commands: &[&Command],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let (payments, outcomes) = partition(commands, payment);
        pay::charge(tx, &payments).await?;
        Ok(Some(merge(outcomes, payments.iter().map(output))))
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
        pay::refund(tx, &sagas).await?;
        Ok(Some(all_compensated(sagas.len())))
    }
}

fn payment(command: &Command) -> Result<Payment, Outcome> {
    let input = OrderInput::decode(command)?;
    if input.payment.token == "tok_declined" {
        return Err(Outcome::failed("declined", "the card was declined"));
    }
    let (amount, currency) = input.price(command);
    Ok(Payment {
        saga_id: command.saga_id,
        amount,
        currency,
    })
}

fn output(payment: &Payment) -> Outcome {
    Outcome::done(serde_json::json!({
        "charge": format!("inside-{}", payment.saga_id),
        "amount": payment.amount,
        "currency": payment.currency,
    }))
}
