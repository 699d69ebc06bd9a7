//! The workers shipped: one file each, with the same sections in the same order.

mod auto;
mod deliver;
mod input;
mod order;
mod pay;
mod shipped;
mod store;

pub use auto::Auto;
pub use deliver::Deliver;
pub use order::Order;
pub use pay::{GatewayUrlError, Pay, PayInside};
pub use shipped::{HandlerSettings, NAMES, Payment, ShippedError, shipped};
pub use store::Store;
