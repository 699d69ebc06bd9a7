//! Worker `order`: stores the order at the prices of the menu. Compensation: the order is cancelled.

use super::input::{OrderInput, all_compensated, items_json, merge, partition, single};
use crate::tables::order;
use saga_worker::{
    Command, Compensation, Handler, HandlerError, Outcome, Payload, Tx, Uuid, async_trait,
};
use std::collections::{BTreeSet, HashMap};

/// The error code of an order that names another price than the menu.
const PRICE_CHANGED: &str = "price_changed";

/// The handler.
#[derive(Debug)]
pub struct Order;

#[async_trait]
impl Handler for Order {
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
        self.execute_all(&[command], tx).await.map(single)
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
        let (orders, outcomes) = partition(commands, |command| {
            Ok((command, OrderInput::decode(command)?))
        });
        let stores: BTreeSet<String> = orders
            .iter()
            .map(|(_, input)| input.store.clone())
            .collect();
        let prices = order::prices(tx, stores).await?;

        let mut rows = Vec::with_capacity(orders.len());
        let mut order_outcomes = Vec::with_capacity(orders.len());
        for (command, input) in &orders {
            match changed_price(input, &prices) {
                Some(failure) => order_outcomes.push(failure),
                None => {
                    order_outcomes.push(output(command, input));
                    rows.push(row(command, input));
                }
            }
        }
        order::insert(tx, &rows).await?;
        Ok(Some(merge(outcomes, order_outcomes)))
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
        order::cancel(tx, &sagas).await?;
        Ok(Some(all_compensated(sagas.len())))
    }
}

/// The failure of an order that names another price than the menu for a listed item.
fn changed_price(input: &OrderInput, prices: &HashMap<(String, String), i64>) -> Option<Outcome> {
    input.items.iter().find_map(|item| {
        let price = *prices.get(&(input.store.clone(), item.menu.clone()))?;
        (price != item.price).then(|| {
            let message = format!(
                "price of {:?} at store {} is {price}, the order has {}",
                item.menu, input.store, item.price
            );
            Outcome::failed(PRICE_CHANGED, message)
        })
    })
}

fn output(command: &Command, input: &OrderInput) -> Outcome {
    Outcome::done(serde_json::json!({
        "order_id": command.key,
        "amount": input.total(),
        "currency": input.currency(),
    }))
}

fn row(command: &Command, input: &OrderInput) -> order::Order {
    order::Order {
        saga_id: command.saga_id,
        order_id: command.key.clone(),
        customer: input.customer.clone(),
        store: input.store.clone(),
        items: items_json(command),
        amount: input.total(),
        currency: input.currency().to_owned(),
        fulfilment: input.fulfilment.clone(),
    }
}
