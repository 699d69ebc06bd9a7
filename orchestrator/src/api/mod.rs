//! The JSON types of the HTTP interface, and how their values are displayed.
//!
//! The server writes these types and the command-line client reads them. The client accepts responses of a newer
//! server: unknown fields are ignored, and unknown enum values are kept as text ([`OpenEnum`]).

mod duration;
mod history;
mod open_enum;
mod order;
mod saga;
mod status_icon;
mod worker;
mod workflow;

pub use duration::format_duration;
pub use history::{HistoryDto, HistoryEntryDto};
pub use open_enum::OpenEnum;
pub use order::{
    LinkDto, OrderDto, OrderItem, OrderLinksDto, OrderSagaDto, OrderStatus, OrderStepDto,
};
pub use saga::{CancelDto, CompensationDto, ErrorDto, FailureDto, SagaDto, SagaListDto, StepDto};
pub use status_icon::{PAUSED_ICON, StatusIcon};
pub use worker::{WorkerDto, WorkerListDto};
pub use workflow::{UnhandledStepDto, WorkflowCheckDto, WorkflowDto, WorkflowListDto};
