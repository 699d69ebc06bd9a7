//! The four orders of the demo: what is ordered, what happens to it, and how it must end.

use crate::api::OrderStatus;
use serde_json::{Value, json};

/// An order of the demo.
pub struct Scenario {
    pub title: &'static str,
    pub customer: &'static str,
    /// The payment token: the simulated gateway treats some of them specially.
    pub token: &'static str,
    /// The customer cancels with this reason once this step waits.
    pub cancel: Option<(&'static str, &'static str)>,
    /// How the order must end.
    pub end: OrderStatus,
    /// The refund must take more than one attempt.
    pub refund_is_retried: bool,
}

pub const SCENARIOS: [Scenario; 4] = [
    Scenario {
        title: "everything succeeds",
        customer: "Ada",
        token: "tok_visa",
        cancel: None,
        end: OrderStatus::Delivered,
        refund_is_retried: false,
    },
    Scenario {
        title: "cancelled while the store prepares it",
        customer: "Grace",
        token: "tok_visa",
        cancel: Some(("store", "too late for lunch")),
        end: OrderStatus::Cancelled,
        refund_is_retried: false,
    },
    Scenario {
        title: "the card is declined",
        customer: "Edsger",
        token: "tok_declined",
        cancel: None,
        end: OrderStatus::Declined,
        refund_is_retried: false,
    },
    Scenario {
        title: "cancelled, and the refund fails at first",
        customer: "Barbara",
        token: "tok_refund_flaky",
        cancel: Some(("store", "ordered twice")),
        end: OrderStatus::Cancelled,
        refund_is_retried: true,
    },
];

/// The items of every order, as text.
pub const ITEMS: &str = "2 × big mac, 1 × fries, 14.00 EUR";

impl Scenario {
    /// The body of `POST /orders`.
    pub fn body(&self) -> Value {
        json!({
            "customer": self.customer, "store": "demo", "fulfilment": "delivery", "currency": "EUR",
            "items": [{"menu": "big mac", "quantity": 2, "price": 550}, {"menu": "fries", "quantity": 1, "price": 300}],
            "payment": {"method": "card", "token": self.token},
        })
    }
}
