//! The built-in workers by name.

use super::auto::Auto;
use super::{Deliver, GatewayUrlError, Order, Pay, PayTransactional, Store};
use crate::tables;
use saga_worker::{Handler, ServedStep, Work, WorkerSpec};
use std::sync::Arc;

/// The names of the built-in workers.
pub const NAMES: [&str; 4] = ["order", "pay", "store", "deliver"];

/// The settings of the built-in handlers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerSettings {
    /// When `store` and `deliver` complete (`AUTO`).
    pub auto: Auto,
    /// How `pay` charges (`PAYMENT_GATEWAY_URL`). Required by worker `pay`.
    pub payment: Option<PaymentMode>,
}

/// How worker `pay` charges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentMode {
    /// Through the payment gateway at a URL.
    Gateway(String),
    /// By itself, in its own table (`inside`).
    Inside,
}

/// A built-in worker cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum BuiltInError {
    /// There is no built-in worker of that name.
    #[error("unknown worker {_0:?}: expected one of {all}", all = NAMES.join(", "))]
    Unknown(String),
    /// Worker `pay` has no gateway.
    #[error(
        "worker pay needs PAYMENT_GATEWAY_URL: the URL of a payment gateway (`workers gateway` \
         starts a simulated one), or `inside`, which approves every payment without a gateway"
    )]
    NoGateway,
    /// The URL of the gateway is invalid.
    #[error(transparent)]
    GatewayUrl(#[from] GatewayUrlError),
}

/// The built-in worker of a name.
///
/// # Errors
/// If there is none, or a setting is missing or invalid.
pub fn built_in(name: &str, settings: &HandlerSettings) -> Result<WorkerSpec, BuiltInError> {
    let auto = settings.auto;
    let (work, migration) = match name {
        "order" => (transactional(Order), tables::order::MIGRATION),
        "pay" => (pay(settings)?, tables::pay::MIGRATION),
        "store" => (transactional(Store { auto }), tables::store::MIGRATION),
        "deliver" => (transactional(Deliver { auto }), tables::deliver::MIGRATION),
        _ => return Err(BuiltInError::Unknown(name.to_owned())),
    };
    Ok(WorkerSpec {
        name: name.to_owned(),
        work,
        migrations: vec![migration],
        serves: vec![ServedStep {
            workflow: "*".to_owned(),
            step: name.to_owned(),
        }],
    })
}

fn transactional(handler: impl Handler) -> Work {
    Work::Transactional(Arc::new(handler))
}

fn pay(settings: &HandlerSettings) -> Result<Work, BuiltInError> {
    match &settings.payment {
        None => Err(BuiltInError::NoGateway),
        Some(PaymentMode::Gateway(url)) => Ok(Work::External(Arc::new(Pay::new(url)?))),
        Some(PaymentMode::Inside) => {
            tracing::warn!(
                "worker pay approves payments itself, because PAYMENT_GATEWAY_URL=inside"
            );
            Ok(transactional(PayTransactional))
        }
    }
}
