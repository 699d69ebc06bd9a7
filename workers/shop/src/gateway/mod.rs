//! A simulated payment gateway. The token of a charge selects how the gateway behaves.
//!
//! | token | behaviour |
//! | --- | --- |
//! | `tok_declined` | declined (402) |
//! | `tok_flaky` | fails twice (503), then charges |
//! | `tok_slow` | charges, answers after 3 s |
//! | `tok_lost` | charges, drops the connection of the first call |
//! | `tok_outage` | fails (503) until `POST /admin/heal` |
//! | `tok_refund_flaky` | charges; the refund fails twice (503), then succeeds |
//! | `tok_refund_never` | charges; the refund fails (503) until `POST /admin/heal` |
//! | any other | charges |

mod behaviour;
mod charges;
mod connection;
mod routes;
mod state;
mod wal;

pub use charges::{Charge, ChargeReport, ChargeRequest, Charges, Entry, RefundRequest, Refusal};
pub use routes::serve;
pub use state::Gateway;
