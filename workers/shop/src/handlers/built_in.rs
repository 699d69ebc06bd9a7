//! Which workers there are, by name.

use super::auto::Auto;
use super::{Deliver, GatewayUrlError, Order, Pay, PayInside, Store};
use crate::tables;
use saga_protocol::message::ServedStep;
use saga_worker::Work;
use saga_worker::runtime::WorkerSpec;
use std::sync::Arc;

/// The workers built_in.
pub const NAMES: [&str; 4] = ["order", "pay", "store", "deliver"];

/// What the built_in workers need to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerSettings {
    /// When `store` and `deliver` answer (`AUTO`).
    pub auto: Auto,
    /// How `pay` charges (`PAYMENT_GATEWAY_URL`); without it there is no worker `pay`.
    pub payment: Option<Payment>,
}

/// How `pay` charges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payment {
    /// Through the gateway at that address.
    Gateway(String),
    /// In the worker itself.
    Inside,
}

/// There is no such worker.
#[derive(Debug, thiserror::Error)]
pub enum ShippedError {
    /// Nobody knows the name.
    #[error("there is no worker {_0:?}; there are: {all}", all = NAMES.join(", "))]
    Unknown(String),
    /// It would not know whom to ask.
    #[error(
        "worker pay needs PAYMENT_GATEWAY_URL: the address of the payment gateway (`workers gateway` starts one to try \
         against), or `inside`, which approves every payment without one"
    )]
    NoGateway,
    /// The address is none.
    #[error(transparent)]
    GatewayUrl(#[from] GatewayUrlError),
}

/// The worker of that name.
///
/// # Errors
/// If there is none, or if it lacks a setting.
pub fn built_in(name: &str, settings: &HandlerSettings) -> Result<WorkerSpec, ShippedError> {
    let (work, script) = match name {
        "order" => (Work::Inside(Arc::new(Order)), tables::order::SCRIPT),
        "pay" => (pay(settings)?, tables::pay::SCRIPT),
        "store" => (
            Work::Inside(Arc::new(Store {
                auto: settings.auto,
            })),
            tables::store::SCRIPT,
        ),
        "deliver" => (
            Work::Inside(Arc::new(Deliver {
                auto: settings.auto,
            })),
            tables::deliver::SCRIPT,
        ),
        _ => return Err(ShippedError::Unknown(name.to_owned())),
    };
    let serves = vec![ServedStep {
        workflow: "*".to_owned(),
        step: name.to_owned(),
    }];
    Ok(WorkerSpec {
        name: name.to_owned(),
        work,
        scripts: vec![script],
        serves,
    })
}

fn pay(settings: &HandlerSettings) -> Result<Work, ShippedError> {
    match &settings.payment {
        None => Err(ShippedError::NoGateway),
        Some(Payment::Gateway(url)) => Ok(Work::Outside(Arc::new(Pay::new(url)?))),
        Some(Payment::Inside) => {
            tracing::warn!(
                "worker pay approves payments itself: PAYMENT_GATEWAY_URL=inside asks no gateway"
            );
            Ok(Work::Inside(Arc::new(PayInside)))
        }
    }
}
