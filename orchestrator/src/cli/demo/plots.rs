//! The four orders: what is ordered, what happens on the way, and how each must end.

use serde_json::{Value, json};

/// One order's story.
pub struct Plot {
    /// Its heading.
    pub title: &'static str,
    /// Who orders.
    pub customer: &'static str,
    /// What the payment gateway knows the card by; its simulator treats some tokens in a way of their own.
    pub token: &'static str,
    /// The customer changes her mind once this step waits, and says why.
    pub cancel: Option<(&'static str, &'static str)>,
    /// The status of the order at its end.
    pub ends: &'static str,
    /// The refund must have taken more than one attempt.
    pub refund_retried: bool,
}

/// Four endings.
pub const PLOTS: [Plot; 4] = [
    Plot {
        title: "everything goes well",
        customer: "Ada",
        token: "tok_visa",
        cancel: None,
        ends: "delivered",
        refund_retried: false,
    },
    Plot {
        title: "cancelled while the kitchen is at it",
        customer: "Grace",
        token: "tok_visa",
        cancel: Some(("store", "too late for lunch")),
        ends: "cancelled",
        refund_retried: false,
    },
    Plot {
        title: "the card is declined",
        customer: "Edsger",
        token: "tok_declined",
        cancel: None,
        ends: "declined",
        refund_retried: false,
    },
    Plot {
        title: "cancelled, and the refund fails at first",
        customer: "Barbara",
        token: "tok_refund_flaky",
        cancel: Some(("store", "ordered twice")),
        ends: "cancelled",
        refund_retried: true,
    },
];

impl Plot {
    /// The body of `POST /orders`.
    pub fn body(&self) -> Value {
        json!({
            "customer": self.customer, "store": "demo", "fulfilment": "delivery", "currency": "EUR",
            "items": [{"menu": "big mac", "quantity": 2, "price": 550}, {"menu": "fries", "quantity": 1, "price": 300}],
            "payment": {"method": "card", "token": self.token},
        })
    }

    /// What is ordered, in words.
    pub const fn order(&self) -> &'static str {
        "2 × big mac, 1 × fries, 14.00 EUR"
    }
}
