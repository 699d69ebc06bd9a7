//! The body of `POST /orders`.

use super::input::{OrderInput, PaymentInput};
use crate::api::OrderItem;
use crate::http::validation::request_body;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

request_body!(NewOrder);

/// An order to be placed.
///
/// The limits are those of the workers' text columns, and keep an amount far below 2^53.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "customer": "c-1", "store": "s-1", "items": [{"menu": "big mac", "quantity": 2, "price": 550}],
    "currency": "EUR", "fulfilment": "delivery", "payment": {"method": "card", "token": "tok_visa"}
}))]
pub struct NewOrder {
    /// The customer.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00]*$")]
    customer: String,
    /// The store.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00]*$")]
    store: String,
    /// The items.
    #[schema(min_items = 1, max_items = 100)]
    items: Vec<NewOrderItem>,
    /// The currency (ISO 4217); that of the shop by default.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
    /// How the customer receives the order.
    fulfilment: Fulfilment,
    /// The payment.
    payment: NewPayment,
}

/// An item of an order.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrderItem {
    /// The menu item.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00]*$")]
    menu: String,
    /// The quantity.
    #[schema(minimum = 1, maximum = 100)]
    quantity: u64,
    /// The price of one, in the smallest unit of the currency.
    #[schema(minimum = 0, maximum = 10_000_000)]
    price: u64,
}

/// How the customer receives an order.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fulfilment {
    /// The store delivers it.
    Delivery,
    /// The customer picks it up.
    Pickup,
}

/// The payment of an order.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPayment {
    /// The payment method.
    method: PaymentMethod,
    /// The token of the card at the payment gateway. Masked in all responses.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00]*$")]
    token: String,
}

/// A payment method.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PaymentMethod {
    /// A card.
    Card,
}

impl NewOrder {
    /// The input of the order's saga.
    pub fn into_input(self, order_id: Uuid, default_currency: &str) -> OrderInput {
        OrderInput {
            order_id: Some(order_id),
            customer: self.customer,
            store: self.store,
            items: self.items.into_iter().map(OrderItem::from).collect(),
            currency: self.currency.unwrap_or_else(|| default_currency.to_owned()),
            fulfilment: self.fulfilment.as_str().to_owned(),
            payment: PaymentInput {
                method: self.payment.method.as_str().to_owned(),
                token: self.payment.token,
            },
        }
    }
}

impl From<NewOrderItem> for OrderItem {
    fn from(item: NewOrderItem) -> Self {
        Self {
            menu: item.menu,
            quantity: item.quantity,
            price: item.price,
        }
    }
}

impl Fulfilment {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Pickup => "pickup",
        }
    }
}

impl PaymentMethod {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
        }
    }
}
