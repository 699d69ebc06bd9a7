//! The built-in workers: one file each, with the same sections in the same order.

mod auto;
mod built_in;
mod deliver;
mod input;
mod order;
mod pay;
mod store;

pub use auto::Auto;
pub use built_in::{BuiltInError, HandlerSettings, NAMES, PaymentMode, built_in};
pub use deliver::Deliver;
pub use order::Order;
pub use pay::{GatewayUrlError, Pay, PayTransactional};
pub use store::Store;
