//! What `POST /orders` takes, and what the saga is started with.

use crate::http::fields::{Fields, Mistakes};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use utoipa::ToSchema;
use uuid::Uuid;

/// Names, menus, tokens: columns of the workers' tables.
const TEXT: RangeInclusive<usize> = 1..=200;
/// More is a caterer's business; 100 items fit into the body's limit many times.
const ITEMS: RangeInclusive<usize> = 1..=100;
/// Of one item.
const QUANTITY: RangeInclusive<u64> = 1..=100;
/// Of one piece, in the smallest unit: with the limits above an amount stays far below 2^53.
const PRICE: RangeInclusive<u64> = 0..=10_000_000;
const FULFILMENT: &[&str] = &["delivery", "pickup"];
const METHODS: &[&str] = &["card"];

/// The body of `POST /orders`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "customer": "c-1", "store": "s-1", "items": [{"menu": "big mac", "quantity": 2, "price": 550}],
    "currency": "EUR", "fulfilment": "delivery", "payment": {"method": "card", "token": "tok_visa"}
}))]
pub struct NewOrder {
    /// Who orders.
    #[schema(min_length = 1, max_length = 200)]
    pub customer: String,
    /// Where.
    #[schema(min_length = 1, max_length = 200)]
    pub store: String,
    /// What.
    #[schema(min_items = 1, max_items = 100)]
    pub items: Vec<Item>,
    /// ISO 4217; that of the shop unless given.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: Option<String>,
    /// `delivery` or `pickup`.
    #[schema(value_type = String, pattern = "^(delivery|pickup)$")]
    pub fulfilment: &'static str,
    /// How it is paid.
    pub payment: Payment,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Item {
    /// What.
    #[schema(min_length = 1, max_length = 200)]
    pub menu: String,
    /// How many.
    #[schema(minimum = 1, maximum = 100)]
    pub quantity: u64,
    /// Of one, in the smallest unit of the currency.
    #[schema(minimum = 0, maximum = 10_000_000)]
    pub price: u64,
}

/// How an order is paid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Payment {
    /// `card`.
    #[schema(pattern = "^card$")]
    pub method: String,
    /// What the payment gateway knows the card by. Never shown again.
    #[schema(min_length = 1, max_length = 200)]
    pub token: String,
}

impl NewOrder {
    /// Reads the fields of a body, noting every mistake.
    pub fn read(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let customer = fields.text("customer", TEXT, mistakes);
        let store = fields.text("store", TEXT, mistakes);
        let items = fields.list("items", ITEMS, mistakes, read_item);
        let currency = read_currency(fields, mistakes);
        let fulfilment = fields.one_of("fulfilment", FULFILMENT, mistakes);
        let payment = fields.object("payment", mistakes).and_then(|mut fields| {
            let method = fields.one_of("method", METHODS, mistakes);
            let token = fields.text("token", TEXT, mistakes);
            fields.finish(mistakes);
            Some(Payment {
                method: method?.to_owned(),
                token: token?,
            })
        });
        Some(Self {
            customer: customer?,
            store: store?,
            items: items?,
            currency: currency?,
            fulfilment: fulfilment?,
            payment: payment?,
        })
    }

    /// What the saga is started with.
    pub fn into_input(self, order_id: Uuid, default_currency: &str) -> OrderInput {
        OrderInput {
            order_id: Some(order_id),
            customer: self.customer,
            store: self.store,
            items: self.items,
            currency: self.currency.unwrap_or_else(|| default_currency.to_owned()),
            fulfilment: self.fulfilment.to_owned(),
            payment: self.payment,
        }
    }
}

fn read_item(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Option<Item> {
    let menu = fields.text("menu", TEXT, mistakes);
    let quantity = fields.whole("quantity", QUANTITY, mistakes);
    let price = fields.whole("price", PRICE, mistakes);
    Some(Item {
        menu: menu?,
        quantity: quantity?,
        price: price?,
    })
}

#[expect(
    clippy::option_option,
    reason = "a mistake and a missing value are two things"
)]
fn read_currency(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Option<Option<String>> {
    let currency = fields.optional_text("currency", 3..=3, mistakes)?;
    if currency
        .as_ref()
        .is_some_and(|code| !code.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        mistakes.add(
            fields.pointer("currency"),
            "must be three capital letters such as EUR",
        );
        return None;
    }
    Some(currency)
}

/// What an order's saga is started with: the body with its currency, and the order's id. One that was started as a saga
/// of its own may lack any of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderInput {
    /// The order's id, which is the saga's.
    pub order_id: Option<Uuid>,
    /// Who orders.
    pub customer: String,
    /// Where.
    pub store: String,
    /// What.
    pub items: Vec<Item>,
    /// ISO 4217.
    pub currency: String,
    /// `delivery` or `pickup`.
    pub fulfilment: String,
    /// How it is paid.
    pub payment: Payment,
}

impl OrderInput {
    /// What all items cost together, in the smallest unit of the currency.
    pub fn amount(&self) -> u64 {
        self.items.iter().fold(0, |sum: u64, item| {
            sum.saturating_add(item.quantity.saturating_mul(item.price))
        })
    }
}
