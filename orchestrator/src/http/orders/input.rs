//! The input of the saga `order`.

use crate::api::OrderItem;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The input of an order's saga. All fields are optional when read: a saga that was started by `POST /sagas` may lack
/// any of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderInput {
    /// The id of the order and of the saga.
    pub order_id: Option<Uuid>,
    /// The customer.
    pub customer: String,
    /// The store.
    pub store: String,
    /// The items.
    pub items: Vec<OrderItem>,
    /// The currency (ISO 4217).
    pub currency: String,
    /// `delivery` or `pickup`.
    pub fulfilment: String,
    /// The payment.
    pub payment: PaymentInput,
}

/// The payment of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentInput {
    /// `card`.
    pub method: String,
    /// The token of the card at the payment gateway. A sensitive value.
    pub token: String,
}

impl OrderInput {
    /// The total price, in the smallest unit of the currency.
    pub fn amount(&self) -> u64 {
        self.items.iter().fold(0, |total: u64, item| {
            total.saturating_add(item.quantity.saturating_mul(item.price))
        })
    }
}
