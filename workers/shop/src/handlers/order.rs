//! Worker `order`: takes the order down, at the prices of the menu. Compensated: the order is cancelled.

use super::input::{OrderInput, fill, items, sift};
use crate::tables::order;
use async_trait::async_trait;
use saga_protocol::Payload;
use saga_protocol::message::Command;
use saga_worker::ledger::Tx;
use saga_worker::{Compensation, Handler};
use saga_worker::{HandlerError, Outcome};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// The code of a failure that says that an item costs something else.
const PRICE_CHANGED: &str = "price_changed";

/// The handler.
#[derive(Debug)]
pub struct Order;

#[async_trait]
impl Handler for Order {
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
        order::cancel(tx, &[command.saga_id]).await?;
        Ok(Outcome::Done(Payload::empty()))
    }

    async fn execute_all(
        &self,
        commands: &[&Command],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let (read, outcomes) = sift(commands, |command| Ok((command, OrderInput::of(command)?)));
        let stores: BTreeSet<String> = read.iter().map(|(_, order)| order.store.clone()).collect();
        let prices = order::prices(tx, stores).await?;
        let mut good = Vec::with_capacity(read.len());
        let mut done = Vec::with_capacity(read.len());
        for (command, input) in &read {
            match changed_price(input, &prices) {
                Some(refusal) => done.push(refusal),
                None => {
                    done.push(output(command, input));
                    good.push(row(command, input));
                }
            }
        }
        order::insert(tx, &good).await?;
        Ok(Some(fill(outcomes, done)))
    }

    async fn compensate_all(
        &self,
        undos: &[Compensation<'_>],
        tx: &mut Tx,
    ) -> Result<Option<Vec<Outcome>>, HandlerError> {
        let sagas: Vec<Uuid> = undos.iter().map(|undo| undo.command.saga_id).collect();
        order::cancel(tx, &sagas).await?;
        Ok(Some(
            undos
                .iter()
                .map(|_| Outcome::Done(Payload::empty()))
                .collect(),
        ))
    }
}

/// The refusal of an order that names a listed item at another price than the menu's.
fn changed_price(input: &OrderInput, prices: &HashMap<(String, String), i64>) -> Option<Outcome> {
    input.items.iter().find_map(|item| {
        let price = prices.get(&(input.store.clone(), item.menu.clone()))?;
        let message = || {
            format!(
                "{} costs {price} at {}, not {}",
                item.menu, input.store, item.price
            )
        };
        (*price != item.price).then(|| Outcome::failed(PRICE_CHANGED, message()))
    })
}

fn output(command: &Command, input: &OrderInput) -> Outcome {
    Outcome::done(serde_json::json!({
        "order_id": command.key, "amount": input.sum(), "currency": input.currency(),
    }))
}

fn row(command: &Command, input: &OrderInput) -> order::Order {
    order::Order {
        saga_id: command.saga_id,
        order_id: command.key.clone(),
        customer: input.customer.clone(),
        store: input.store.clone(),
        items: items(command),
        amount: input.sum(),
        currency: input.currency().to_owned(),
        fulfilment: input.fulfilment.clone(),
    }
}
