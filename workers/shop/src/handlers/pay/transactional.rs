//! Payments approved in the worker itself, in a table of its own: for measuring without a gateway.

use crate::handlers::input::{OrderInput, fill, sift};
use crate::tables::pay::{self, Payment};
use async_trait::async_trait;
use saga_protocol::Payload;
use saga_protocol::message::Command;
use saga_worker::ledger::Tx;
use saga_worker::{Compensation, Handler};
use saga_worker::{HandlerError, Outcome};
use uuid::Uuid;

/// The handler. It approves every payment but that of the token `tok_declined`.
#[derive(Debug)]
pub struct PayTransactional;

#[async_trait]
impl Handler for PayTransactional {
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
        pay::refund(tx, &[command.saga_id]).await?;
        Ok(Outcome::Done(Payload::empty()))
    }

    async fn execute_all(
        &self,
        commands: &[&Command],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let (payments, outcomes) = sift(commands, payment);
        pay::charge(tx, &payments).await?;
        Ok(Some(fill(outcomes, payments.iter().map(output))))
    }

    async fn compensate_all(
        &self,
        undos: &[Compensation<'_>],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let sagas: Vec<Uuid> = undos.iter().map(|undo| undo.command.saga_id).collect();
        pay::refund(tx, &sagas).await?;
        Ok(Some(
            undos
                .iter()
                .map(|_| Outcome::Done(Payload::empty()))
                .collect(),
        ))
    }
}

fn payment(command: &Command) -> Result<Payment, Outcome> {
    let input = OrderInput::of(command)?;
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
    let Payment {
        saga_id,
        amount,
        currency,
    } = payment;
    Outcome::done(
        serde_json::json!({ "charge": format!("inside-{saga_id}"), "amount": amount, "currency": currency }),
    )
}
