//! Worker `pay`: charges the card. Compensated: the charge is refunded. Through a gateway, or inside the worker.

mod client;
mod inside;
mod outside;

pub use client::GatewayUrlError;
pub use inside::PayInside;
pub use outside::Pay;
