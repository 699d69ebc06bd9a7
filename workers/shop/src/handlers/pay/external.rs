//! Payments through a payment gateway. Each call carries its idempotency key, and a call without an
//! answer is never taken for a failed one.

use super::client::{GatewayClient, GatewayResult, GatewayUrlError};
use crate::handlers::input::OrderInput;
use saga_worker::{
    Action, CallKey, CallOutcome, Command, ExternalHandler, Outcome, Payload, VoidOutcome,
    async_trait,
};
use serde::Deserialize;
use serde_json::json;

/// The handler.
#[derive(Debug)]
pub struct Pay {
    gateway: GatewayClient,
}

/// The output of a charge.
#[derive(Debug, Deserialize)]
struct ChargeOutput {
    charge: String,
    amount: i64,
    currency: String,
}

/// The answer to a void: the charge, if there is one already.
#[derive(Debug, Deserialize)]
struct VoidAnswer {
    charge: Option<Payload>,
}

impl Pay {
    /// A handler for the gateway at an `http` URL.
    ///
    /// # Errors
    /// If the URL is invalid.
    pub fn new(url: &str) -> Result<Self, GatewayUrlError> {
        Ok(Self {
            gateway: GatewayClient::new(url)?,
        })
    }
}

#[async_trait]
impl ExternalHandler for Pay {
    async fn execute(&self, command: &Command, key: &CallKey) -> CallOutcome {
        let input = match OrderInput::decode(command) {
            Ok(input) => input,
            Err(Outcome::Failed(failure)) => return CallOutcome::Failed(failure),
            Err(_) => return CallOutcome::unknown("failed to decode the order"),
        };
        let (amount, currency) = input.price(command);
        let body = json!({ "amount": amount, "currency": currency, "token": input.payment.token });
        self.gateway.post("/charges", &key.text, &body).await.into()
    }

    async fn compensate(&self, command: &Command, output: &Payload, key: &CallKey) -> CallOutcome {
        let Ok(output) = output.decode::<ChargeOutput>() else {
            return CallOutcome::unknown(format!(
                "the ledger has no charge to refund for saga {}",
                command.saga_id
            ));
        };
        let ChargeOutput {
            charge,
            amount,
            currency,
        } = output;
        let body = json!({ "charge": charge, "amount": amount, "currency": currency });
        self.gateway.post("/refunds", &key.text, &body).await.into()
    }

    async fn void(&self, _: &Command, key: &CallKey) -> VoidOutcome {
        debug_assert_eq!(key.action, Action::Execute, "only charges are voided");
        let void_key = format!("{}:void", key.text);
        let body = json!({ "key": key.text });

        match self.gateway.post("/voids", &void_key, &body).await {
            GatewayResult::Accepted(answer) => match answer.decode::<VoidAnswer>() {
                Ok(VoidAnswer { charge: None }) => VoidOutcome::Voided,
                Ok(VoidAnswer {
                    charge: Some(charge),
                }) => VoidOutcome::Happened(charge),
                Err(error) => VoidOutcome::Unknown(format!("invalid answer to a void: {error}")),
            },
            GatewayResult::Rejected(failure) => VoidOutcome::Unknown(failure.message),
            GatewayResult::Unknown(reason) => VoidOutcome::Unknown(reason),
        }
    }
}

impl From<GatewayResult> for CallOutcome {
    fn from(result: GatewayResult) -> Self {
        match result {
            GatewayResult::Accepted(answer) => Self::Done(answer),
            GatewayResult::Rejected(failure) => Self::Failed(failure),
            GatewayResult::Unknown(reason) => Self::unknown(reason),
        }
    }
}
