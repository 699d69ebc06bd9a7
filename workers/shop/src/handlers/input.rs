//! What the handlers read of an order: the body of `POST /orders`, and what the steps before put out.

use saga_protocol::Payload;
use saga_protocol::message::Command;
use serde::Deserialize;

use saga_worker::Outcome;

/// The code of a failure that says that the input is not an order's.
const INVALID_ORDER: &str = "invalid_order";
/// What an order without a currency is in.
const CURRENCY: &str = "EUR";

/// An order as it was placed.
#[derive(Debug, Deserialize)]
pub struct OrderInput {
    /// Who orders.
    pub customer: String,
    /// Where.
    pub store: String,
    /// What: at least one.
    pub items: Vec<Item>,
    /// In which currency.
    pub currency: Option<String>,
    /// What the caller thinks it costs, if he says so.
    pub amount: Option<i64>,
    /// `delivery` or `pickup`.
    pub fulfilment: String,
    /// How it is paid.
    pub payment: PaymentInput,
}

/// One item of an order.
#[derive(Debug, Deserialize)]
pub struct Item {
    /// Its name on the menu.
    pub menu: String,
    /// 1 to 100.
    pub quantity: i64,
    /// Of one, in the smallest unit: 0 to 10,000,000.
    pub price: i64,
}

/// How an order is paid.
#[derive(Debug, Deserialize)]
pub struct PaymentInput {
    /// What the gateway knows the card by.
    pub token: String,
}

/// The items alone, as they were written.
#[derive(Debug, Deserialize)]
struct Items {
    items: Payload,
}

/// What `order` puts out.
#[derive(Debug, Deserialize)]
struct OrderOutput {
    amount: i64,
    currency: String,
}

const ITEMS: usize = 100;
const QUANTITY: std::ops::RangeInclusive<i64> = 1..=100;
const PRICE: std::ops::RangeInclusive<i64> = 0..=10_000_000;

impl OrderInput {
    /// Reads it, and checks its limits.
    ///
    /// # Errors
    /// The failure to answer with.
    pub fn of(command: &Command) -> Result<Self, Outcome> {
        let order: Self = command
            .input
            .input
            .decode()
            .map_err(|error| invalid(error.to_string()))?;
        if order.items.is_empty() || order.items.len() > ITEMS {
            return Err(invalid(format!(
                "an order has 1 to {ITEMS} items, not {}",
                order.items.len()
            )));
        }
        if let Some(item) = order
            .items
            .iter()
            .find(|item| !QUANTITY.contains(&item.quantity))
        {
            return Err(invalid(format!(
                "{} {} are not to be had: 1 to 100 are",
                item.quantity, item.menu
            )));
        }
        if let Some(item) = order.items.iter().find(|item| !PRICE.contains(&item.price)) {
            return Err(invalid(format!(
                "{} is no price for {}: 0 to 10000000 is",
                item.price, item.menu
            )));
        }
        if !["delivery", "pickup"].contains(&order.fulfilment.as_str()) {
            return Err(invalid(format!(
                "{:?} is neither delivery nor pickup",
                order.fulfilment
            )));
        }
        if order.amount.is_some_and(|amount| amount != order.sum()) {
            return Err(invalid(format!(
                "the items cost {}, not {}",
                order.sum(),
                order.amount.unwrap_or_default()
            )));
        }
        Ok(order)
    }

    /// What the items cost: at most 100 · 100 · 10,000,000.
    pub fn sum(&self) -> i64 {
        self.items
            .iter()
            .map(|item| item.quantity * item.price)
            .sum()
    }

    /// In which currency.
    pub fn currency(&self) -> &str {
        self.currency.as_deref().unwrap_or(CURRENCY)
    }

    /// Amount and currency: what step `order` put out, or what the items cost where there is no such step.
    pub fn price(&self, command: &Command) -> (i64, String) {
        let output = command
            .input
            .steps
            .get("order")
            .and_then(|output| output.decode::<OrderOutput>().ok());
        match output {
            Some(OrderOutput { amount, currency }) => (amount, currency),
            None => (self.sum(), self.currency().to_owned()),
        }
    }
}

/// The items as they were written: JSON.
pub fn items(command: &Command) -> String {
    command
        .input
        .input
        .decode::<Items>()
        .map_or_else(|_| "[]".to_owned(), |items| items.items.get().to_owned())
}

fn invalid(reason: impl Into<String>) -> Outcome {
    Outcome::failed(INVALID_ORDER, reason)
}

/// Sorts commands into what can be done and what is refused at once, so that one statement does the rest. The outcomes
/// come back in the order of the commands: `None` where something is to be done.
pub fn sift<'a, T>(
    commands: &[&'a Command],
    read: impl Fn(&'a Command) -> Result<T, Outcome>,
) -> (Vec<T>, Vec<Option<Outcome>>) {
    let mut todo = Vec::with_capacity(commands.len());
    let outcomes = commands
        .iter()
        .map(|command| match read(command) {
            Ok(one) => {
                todo.push(one);
                None
            }
            Err(refusal) => Some(refusal),
        })
        .collect();
    (todo, outcomes)
}

/// Fills the gaps that [`sift`] left with what was done, in order.
pub fn fill(
    outcomes: Vec<Option<Outcome>>,
    done: impl IntoIterator<Item = Outcome>,
) -> Vec<Outcome> {
    let mut done = done.into_iter();
    let missing = || Outcome::retry("the handler has no outcome for it");
    outcomes
        .into_iter()
        .map(|outcome| outcome.or_else(|| done.next()).unwrap_or_else(missing))
        .collect()
}
