//! An order as derived from its saga.

use super::input::OrderInput;
use crate::api::{LinkDto, OrderDto, OrderLinksDto, OrderSagaDto, OrderStatus, OrderStepDto};
use saga_core::saga::{RollbackCause, Saga, Status, Step, StepStatus};
use saga_protocol::Payload;
use uuid::Uuid;

/// The workflow of orders.
pub const WORKFLOW: &str = "order";
/// Its step that charges the customer.
pub const PAY: &str = "pay";
/// Its step that the store carries out.
const STORE: &str = "store";

/// The path of an order.
pub fn order_path(id: Uuid) -> String {
    format!("/orders/{id}")
}

/// The order of a saga.
pub fn order_dto(saga: &Saga, input: &Payload) -> OrderDto {
    let id = saga.id;
    let input: OrderInput = input.decode().unwrap_or_default();
    let steps = saga.steps.iter().map(|step| OrderStepDto {
        name: step.name.clone(),
        status: step.status.into(),
    });
    let link = |href: String| LinkDto { href };

    OrderDto {
        id,
        status: order_status(saga).into(),
        amount: input.amount(),
        customer: input.customer,
        store: input.store,
        items: input.items,
        currency: input.currency,
        fulfilment: input.fulfilment,
        saga: OrderSagaDto {
            id,
            status: saga.status.into(),
            steps: steps.collect(),
        },
        links: OrderLinksDto {
            itself: link(order_path(id)),
            saga: link(format!("/sagas/{id}")),
            cancel: link(format!("/orders/{id}/cancel")),
            status: link(format!("/orderStatuses/{id}")),
        },
    }
}

/// The status of an order: the first that matches.
pub fn order_status(saga: &Saga) -> OrderStatus {
    match saga.status {
        Status::Parked => OrderStatus::Attention,
        Status::Compensated if has_payment_failed(saga) => OrderStatus::Declined,
        Status::Compensated if was_cancelled(saga) => OrderStatus::Cancelled,
        Status::Compensated => OrderStatus::Failed,
        Status::Compensating => OrderStatus::Cancelling,
        Status::Completed => OrderStatus::Delivered,
        Status::Running => match step_status(saga, STORE) {
            Some(StepStatus::Completed) => OrderStatus::Delivering,
            Some(StepStatus::Waiting) => OrderStatus::Accepted,
            _ if step_status(saga, PAY) == Some(StepStatus::Completed) => OrderStatus::Paid,
            _ => OrderStatus::Ordered,
        },
    }
}

/// Whether the final failure of the payment caused the rollback.
pub fn has_payment_failed(saga: &Saga) -> bool {
    let cause = saga.rollback.as_ref().map(|rollback| &rollback.cause);
    matches!(cause, Some(RollbackCause::Failure(step)) if step == PAY)
}

/// Whether the order is paid and not rolling back.
pub fn is_paid(saga: &Saga) -> bool {
    !saga.is_rolling_back() && step_status(saga, PAY) == Some(StepStatus::Completed)
}

/// Whether a caller or the deadline cancelled the order.
fn was_cancelled(saga: &Saga) -> bool {
    let cause = saga.rollback.as_ref().map(|rollback| &rollback.cause);
    saga.cancel.is_some() || matches!(cause, Some(RollbackCause::Deadline))
}

fn step_status(saga: &Saga, name: &str) -> Option<StepStatus> {
    saga.step(name).map(|step: &Step| step.status)
}
