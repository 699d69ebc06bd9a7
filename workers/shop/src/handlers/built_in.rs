//! Which workers there are, by name.

use super::auto::Auto;
use super::{Deliver, GatewayUrlError, Order, Pay, PayTransactional, Store};
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
    pub payment: Option<PaymentMode>,
}

/// How `pay` charges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentMode {
    /// Through the gateway at that address.
    Gateway(String),
    /// In the worker itself.
    Inside,
}

/// There is no such worker.
#[derive(Debug, thiserror::Error)]
pub enum BuiltInError {
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
pub fn built_in(name: &str, settings: &HandlerSettings) -> Result<WorkerSpec, BuiltInError> {
    let (work, script) = match name {
        "order" => (
            Work::Transactional(Arc::new(Order)),
            tables::order::MIGRATION,
        ),
        "pay" => (pay(settings)?, tables::pay::MIGRATION),
        "store" => (
            Work::Transactional(Arc::new(Store {
                auto: settings.auto,
            })),
            tables::store::MIGRATION,
        ),
        "deliver" => (
            Work::Transactional(Arc::new(Deliver {
                auto: settings.auto,
            })),
            tables::deliver::MIGRATION,
        ),
        _ => return Err(BuiltInError::Unknown(name.to_owned())),
    };
    let serves = vec![ServedStep {
        workflow: "*".to_owned(),
        step: name.to_owned(),
    }];
    Ok(WorkerSpec {
        name: name.to_owned(),
        work,
        migrations: vec![script],
        serves,
    })
}

fn pay(settings: &HandlerSettings) -> Result<Work, BuiltInError> {
    match &settings.payment {
        None => Err(BuiltInError::NoGateway),
        Some(PaymentMode::Gateway(url)) => Ok(Work::External(Arc::new(Pay::new(url)?))),
        Some(PaymentMode::Inside) => {
            tracing::warn!(
                "worker pay approves payments itself: PAYMENT_GATEWAY_URL=inside asks no gateway"
            );
            Ok(Work::Transactional(Arc::new(PayTransactional)))
        }
    }
}
