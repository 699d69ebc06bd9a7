//! A payment gateway to try against: tokens that say how it is to behave, and books that a test can compare.
//!
//! | token | does |
//! | --- | --- |
//! | `tok_declined` | is declined (402) |
//! | `tok_flaky` | fails twice (503), then pays |
//! | `tok_slow` | charges, and answers after 3 s |
//! | `tok_lost` | charges, and drops the connection the first time |
//! | `tok_outage` | fails (503) until `POST /admin/heal` |
//! | `tok_refund_flaky` | pays; the refund fails twice (503), then works |
//! | `tok_refund_never` | pays; the refund fails (503) until `POST /admin/heal` |
//! | any other | pays |

mod behaviour;
mod charges;
mod connection;
mod routes;
mod serve;
mod wal;

pub use charges::{Charge, ChargeReport, ChargeRequest, Charges, Entry, RefundRequest, Refusal};
pub use serve::Gateway;
