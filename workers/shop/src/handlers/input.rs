//! The order as the handlers read it: the body of `POST /orders`, and the outputs of earlier steps.

use saga_protocol::Payload;
use saga_protocol::message::Command;
use saga_worker::Outcome;
use serde::Deserialize;
use std::ops::RangeInclusive;

/// The error code of an input that is not a valid order.
const INVALID_ORDER: &str = "invalid_order";
/// The currency of an order that names none.
const DEFAULT_CURRENCY: &str = "EUR";

/// The limits of an order, as `POST /orders` checks them. A saga started by `POST /sagas` has not been
/// checked.
const MAX_ITEMS: usize = 100;
const QUANTITY: RangeInclusive<i64> = 1..=100;
const PRICE: RangeInclusive<i64> = 0..=10_000_000;

/// An order.
#[derive(Debug, Deserialize)]
pub struct OrderInput {
    pub customer: String,
    pub store: String,
    pub items: Vec<Item>,
    pub currency: Option<String>,
    /// The amount that the caller expects, in the smallest unit of the currency.
    pub amount: Option<i64>,
    /// `delivery` or `pickup`.
    pub fulfilment: String,
    pub payment: PaymentInput,
}

/// An item of an order.
#[derive(Debug, Deserialize)]
pub struct Item {
    /// The name on the menu.
    pub menu: String,
    pub quantity: i64,
    /// Of one piece, in the smallest unit of the currency.
    pub price: i64,
}

/// The payment of an order.
#[derive(Debug, Deserialize)]
pub struct PaymentInput {
    /// The gateway's token of the card.
    pub token: String,
}

/// The items as they were received.
#[derive(Debug, Deserialize)]
struct RawItems {
    items: Payload,
}

/// The output of step `order`.
#[derive(Debug, Deserialize)]
struct OrderOutput {
    amount: i64,
    currency: String,
}

impl OrderInput {
    /// Decodes the order of a command and checks its limits.
    ///
    /// # Errors
    /// The outcome to return: a final failure.
    pub fn decode(command: &Command) -> Result<Self, Outcome> {
        let order: Self = command
            .input
            .input
            .decode()
            .map_err(|error| invalid(error.to_string()))?;

        if order.items.is_empty() || order.items.len() > MAX_ITEMS {
            let items = order.items.len();
            return Err(invalid(format!(
                "the order has {items} items: expected 1 to {MAX_ITEMS}"
            )));
        }
        for item in &order.items {
            check_range(item, "quantity", item.quantity, &QUANTITY)?;
            check_range(item, "price", item.price, &PRICE)?;
        }
        if !["delivery", "pickup"].contains(&order.fulfilment.as_str()) {
            return Err(invalid(format!(
                "fulfilment is {:?}: expected delivery or pickup",
                order.fulfilment
            )));
        }
        if let Some(amount) = order.amount
            && amount != order.total()
        {
            return Err(invalid(format!(
                "amount is {amount}: expected {}, the total of the items",
                order.total()
            )));
        }
        Ok(order)
    }

    /// The total of the items: at most 100 · 100 · 10,000,000.
    pub fn total(&self) -> i64 {
        self.items
            .iter()
            .map(|item| item.quantity * item.price)
            .sum()
    }

    pub fn currency(&self) -> &str {
        self.currency.as_deref().unwrap_or(DEFAULT_CURRENCY)
    }

    /// Amount and currency: the output of step `order` or, in a workflow without it, the total of the
    /// items.
    pub fn price(&self, command: &Command) -> (i64, String) {
        let output = command
            .input
            .steps
            .get("order")
            .and_then(|output| output.decode::<OrderOutput>().ok());
        match output {
            Some(OrderOutput { amount, currency }) => (amount, currency),
            None => (self.total(), self.currency().to_owned()),
        }
    }
}

fn check_range(
    item: &Item,
    field: &str,
    value: i64,
    range: &RangeInclusive<i64>,
) -> Result<(), Outcome> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(invalid(format!(
        "{field} of {:?} is {value}: expected {} to {}",
        item.menu,
        range.start(),
        range.end()
    )))
}

/// The items of a command as they were received: JSON.
pub fn items_json(command: &Command) -> String {
    command
        .input
        .input
        .decode::<RawItems>()
        .map_or_else(|_| "[]".to_owned(), |raw| raw.items.get().to_owned())
}

fn invalid(reason: impl Into<String>) -> Outcome {
    Outcome::failed(INVALID_ORDER, reason)
}

/// Decodes commands into rows, so that one statement handles all valid ones. The outcomes are in the
/// order of the commands: `None` for a valid one, its failure for any other.
pub fn partition<'a, T>(
    commands: &[&'a Command],
    decode: impl Fn(&'a Command) -> Result<T, Outcome>,
) -> (Vec<T>, Vec<Option<Outcome>>) {
    let mut rows = Vec::with_capacity(commands.len());
    let outcomes = commands
        .iter()
        .map(|command| match decode(command) {
            Ok(row) => {
                rows.push(row);
                None
            }
            Err(failure) => Some(failure),
        })
        .collect();
    (rows, outcomes)
}

/// Fills the gaps that [`partition`] left with the outcomes of the rows, in their order.
pub fn merge(
    outcomes: Vec<Option<Outcome>>,
    of_rows: impl IntoIterator<Item = Outcome>,
) -> Vec<Outcome> {
    let mut of_rows = of_rows.into_iter();
    let missing = || Outcome::retry("the handler has no outcome for the command");
    outcomes
        .into_iter()
        .map(|outcome| outcome.or_else(|| of_rows.next()).unwrap_or_else(missing))
        .collect()
}

/// The outcome of a set of one command.
pub fn single(outcomes: Option<Vec<Outcome>>) -> Outcome {
    outcomes
        .and_then(|mut outcomes| outcomes.pop())
        .unwrap_or_else(|| Outcome::retry("the handler has no outcome for the command"))
}

/// One empty output per compensation.
pub fn all_compensated(count: usize) -> Vec<Outcome> {
    vec![Outcome::Done(Payload::empty()); count]
}
