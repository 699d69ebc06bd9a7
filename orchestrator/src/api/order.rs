//! Orders.

use super::OpenEnum;
use saga_core::saga::{Status, StepStatus};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

/// The status of an order, as its customer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Accepted; the payment is pending.
    Ordered,
    /// Paid; the store has not accepted it yet.
    Paid,
    /// The store prepares it.
    Accepted,
    /// The store has finished.
    Delivering,
    /// Completed.
    Delivered,
    /// The rollback is in progress.
    Cancelling,
    /// Compensated after a cancellation or an expired deadline.
    Cancelled,
    /// Compensated because the payment failed.
    Declined,
    /// Compensated because another step failed.
    Failed,
    /// Parked: an operator must act.
    Attention,
}

/// An order and its saga.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderDto {
    /// The id, which is also the id of the saga.
    pub id: Uuid,
    /// The status.
    #[schema(value_type = OrderStatus)]
    pub status: OpenEnum<OrderStatus>,
    /// The customer.
    #[schema(example = "c-1")]
    pub customer: String,
    /// The store.
    #[schema(example = "s-1")]
    pub store: String,
    /// The items.
    pub items: Vec<OrderItem>,
    /// The total price, in the smallest unit of the currency.
    #[schema(example = 1100)]
    pub amount: u64,
    /// The currency (ISO 4217).
    #[schema(example = "EUR")]
    pub currency: String,
    /// `delivery` or `pickup`.
    #[schema(example = "delivery")]
    pub fulfilment: String,
    /// A summary of the saga.
    pub saga: OrderSagaDto,
    /// Links to related resources.
    #[serde(rename = "_links")]
    pub links: OrderLinksDto,
}

/// An item of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderItem {
    /// The menu item.
    #[schema(example = "big mac")]
    pub menu: String,
    /// The quantity.
    #[schema(example = 2)]
    pub quantity: u64,
    /// The price of one, in the smallest unit of the currency.
    #[schema(example = 550)]
    pub price: u64,
}

/// A summary of an order's saga.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = OrderSaga)]
pub struct OrderSagaDto {
    /// The id.
    pub id: Uuid,
    /// The status.
    #[schema(value_type = String, example = "running")]
    pub status: OpenEnum<Status>,
    /// The steps.
    pub steps: Vec<OrderStepDto>,
}

/// A summary of a step.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = OrderStep)]
pub struct OrderStepDto {
    /// The name.
    #[schema(example = "pay")]
    pub name: String,
    /// The status.
    #[schema(value_type = String, example = "completed")]
    pub status: OpenEnum<StepStatus>,
}

/// The links of an order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = OrderLinks)]
pub struct OrderLinksDto {
    /// The order.
    #[serde(rename = "self")]
    pub itself: LinkDto,
    /// The saga.
    pub saga: LinkDto,
    /// Cancels the order (`POST`).
    pub cancel: LinkDto,
    /// The order in the read model.
    pub status: LinkDto,
}

/// A link.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Link)]
pub struct LinkDto {
    /// The target.
    #[schema(example = "/orders/0198c0de-0000-7000-8000-000000000001")]
    pub href: String,
}

impl OrderStatus {
    /// The status as it appears in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Paid => "paid",
            Self::Accepted => "accepted",
            Self::Delivering => "delivering",
            Self::Delivered => "delivered",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Declined => "declined",
            Self::Failed => "failed",
            Self::Attention => "attention",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
