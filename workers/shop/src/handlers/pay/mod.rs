//! Worker `pay`: charges the card, through a payment gateway or by itself. Compensation: the charge is
//! refunded.

mod client;
mod external;
mod transactional;

pub use client::GatewayUrlError;
pub use external::Pay;
pub use transactional::PayTransactional;
