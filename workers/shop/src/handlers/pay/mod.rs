//! Worker `pay`: charges the card. Compensated: the charge is refunded. Through a gateway, or inside the worker.

mod client;
mod external;
mod transactional;

pub use client::GatewayUrlError;
pub use external::Pay;
pub use transactional::PayTransactional;
