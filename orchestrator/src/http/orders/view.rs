//! An order as it is shown.

use super::new::{Item, OrderInput};
use saga_core::saga::{RollbackCause, Saga, Status, Step, StepStatus};
use saga_protocol::Payload;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Where an order is, for the one who ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Taken; the payment is on its way.
    Ordered,
    /// Paid; the store is asked.
    Paid,
    /// The store has it and prepares it.
    Accepted,
    /// The store is done.
    Delivering,
    /// All done.
    Delivered,
    /// Being undone.
    Cancelling,
    /// Undone, since someone, or the deadline, cancelled it.
    Cancelled,
    /// Undone, since the payment failed.
    Declined,
    /// Undone, since something else failed.
    Failed,
    /// It needs a person.
    Attention,
}

impl OrderStatus {
    /// The status of an order whose saga is this: the first that fits.
    pub fn of(saga: &Saga) -> Self {
        let is = |step: &str, status| saga.step(step).is_some_and(|step| step.status == status);
        match saga.status {
            Status::Parked => Self::Attention,
            Status::Compensated if payment_failed(saga) => Self::Declined,
            Status::Compensated if cancelled(saga) => Self::Cancelled,
            Status::Compensated => Self::Failed,
            Status::Compensating => Self::Cancelling,
            Status::Completed => Self::Delivered,
            Status::Running if is("store", StepStatus::Completed) => Self::Delivering,
            Status::Running if is("store", StepStatus::Waiting) => Self::Accepted,
            Status::Running if is("pay", StepStatus::Completed) => Self::Paid,
            Status::Running => Self::Ordered,
        }
    }
}

/// The payment failed finally: that is what turned the saga.
pub fn payment_failed(saga: &Saga) -> bool {
    saga.rollback
        .as_ref()
        .is_some_and(|turn| turn.cause == RollbackCause::Failure("pay".to_owned()))
}

fn cancelled(saga: &Saga) -> bool {
    saga.cancel.is_some()
        || saga
            .rollback
            .as_ref()
            .is_some_and(|turn| turn.cause == RollbackCause::Deadline)
}

/// An order with its saga.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OrderView {
    /// The order's id: that of its saga.
    pub id: Uuid,
    /// Where it is.
    pub status: OrderStatus,
    /// Who orders.
    #[schema(example = "c-1")]
    pub customer: String,
    /// Where.
    #[schema(example = "s-1")]
    pub store: String,
    /// What.
    pub items: Vec<Item>,
    /// What it costs, in the smallest unit of the currency.
    #[schema(example = 1100)]
    pub amount: u64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// `delivery` or `pickup`.
    #[schema(example = "delivery")]
    pub fulfilment: String,
    /// How far its saga is.
    pub saga: OrderSaga,
    /// Where to go from here.
    #[serde(rename = "_links")]
    pub links: OrderLinks,
}

/// An order's saga in short.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OrderSaga {
    /// Its id.
    pub id: Uuid,
    /// Its status.
    #[schema(value_type = String, example = "running")]
    pub status: Status,
    /// Its steps.
    pub steps: Vec<OrderStep>,
}

/// A step in short.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OrderStep {
    /// Its name.
    #[schema(example = "pay")]
    pub name: String,
    /// Its status.
    #[schema(value_type = String, example = "completed")]
    pub status: StepStatus,
}

/// Where to go from an order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OrderLinks {
    /// The order.
    #[serde(rename = "self")]
    pub itself: Link,
    /// Its saga.
    pub saga: Link,
    /// `POST` here to cancel it.
    pub cancel: Link,
    /// Its entry on the read side.
    pub status: Link,
}

/// A link.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Link {
    /// Where it leads.
    #[schema(example = "/orders/0198c0de-0000-7000-8000-000000000001")]
    pub href: String,
}

impl OrderView {
    /// The order of that saga.
    pub fn of(saga: &Saga, input: &Payload) -> Self {
        let id = saga.id;
        let input: OrderInput = input.decode().unwrap_or_default();
        let step = |step: &Step| OrderStep {
            name: step.name.clone(),
            status: step.status,
        };
        let link = |href: String| Link { href };
        Self {
            id,
            status: OrderStatus::of(saga),
            amount: input.amount(),
            customer: input.customer,
            store: input.store,
            items: input.items,
            currency: input.currency,
            fulfilment: input.fulfilment,
            saga: OrderSaga {
                id,
                status: saga.status,
                steps: saga.steps.iter().map(step).collect(),
            },
            links: OrderLinks {
                itself: link(path(id)),
                saga: link(format!("/sagas/{id}")),
                cancel: link(format!("/orders/{id}/cancel")),
                status: link(format!("/orderStatuses/{id}")),
            },
        }
    }
}

/// Where an order is found.
pub fn path(id: Uuid) -> String {
    format!("/orders/{id}")
}
