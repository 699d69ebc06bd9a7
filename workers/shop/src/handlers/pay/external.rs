//! Payments through a gateway: each call with its idempotency key, and nothing assumed of a call without an answer.

use super::client::{Client, GatewayResult, GatewayUrlError};
use crate::handlers::input::OrderInput;
use async_trait::async_trait;
use saga_protocol::Action;
use saga_protocol::Payload;
use saga_protocol::message::Command;
use saga_worker::{CallKey, ExternalHandler};
use saga_worker::{CallOutcome, Outcome, VoidOutcome};
use serde::Deserialize;
use serde_json::json;

/// The handler.
#[derive(Debug)]
pub struct Pay {
    gateway: Client,
}

/// What a charge put out.
#[derive(Debug, Deserialize)]
struct Charge {
    charge: String,
    amount: i64,
    currency: String,
}

/// What a void answers: the charge, if it was too late.
#[derive(Debug, Deserialize)]
struct Void {
    charge: Option<Payload>,
}

impl Pay {
    /// Through the gateway at that address.
    ///
    /// # Errors
    /// If it is no `http` address.
    pub fn new(url: &str) -> Result<Self, GatewayUrlError> {
        Ok(Self {
            gateway: Client::new(url)?,
        })
    }
}

#[async_trait]
impl ExternalHandler for Pay {
    async fn execute(&self, command: &Command, key: &CallKey) -> CallOutcome {
        let input = match OrderInput::of(command) {
            Ok(input) => input,
            Err(Outcome::Failed(failure)) => return CallOutcome::Failed(failure),
            Err(_) => return CallOutcome::unknown("the input cannot be read"),
        };
        let (amount, currency) = input.price(command);
        let body = json!({ "amount": amount, "currency": currency, "token": input.payment.token });
        match self.gateway.post("/charges", &key.text, &body).await {
            GatewayResult::Yes(answer) => CallOutcome::Done(answer),
            GatewayResult::No(failure) => CallOutcome::Failed(failure),
            GatewayResult::Nothing(reason) => CallOutcome::unknown(reason),
        }
    }

    async fn compensate(&self, command: &Command, output: &Payload, key: &CallKey) -> CallOutcome {
        let Ok(Charge {
            charge,
            amount,
            currency,
        }) = output.decode()
        else {
            return CallOutcome::unknown(format!(
                "the ledger has no charge to refund for {}",
                command.saga_id
            ));
        };
        let body = json!({ "charge": charge, "amount": amount, "currency": currency });
        match self.gateway.post("/refunds", &key.text, &body).await {
            GatewayResult::Yes(answer) => CallOutcome::Done(answer),
            GatewayResult::No(failure) => CallOutcome::Failed(failure),
            GatewayResult::Nothing(reason) => CallOutcome::unknown(reason),
        }
    }

    async fn void(&self, _: &Command, key: &CallKey) -> VoidOutcome {
        debug_assert_eq!(key.action, Action::Execute, "what is voided is a charge");
        let own_key = format!("{}:void", key.text);
        match self
            .gateway
            .post("/voids", &own_key, &json!({ "key": key.text }))
            .await
        {
            GatewayResult::Yes(answer) => match answer.decode::<Void>() {
                Ok(Void { charge: None }) => VoidOutcome::Never,
                Ok(Void {
                    charge: Some(charge),
                }) => VoidOutcome::Happened(charge),
                Err(error) => {
                    VoidOutcome::Unknown(format!("the gateway's answer is no void: {error}"))
                }
            },
            GatewayResult::No(failure) => VoidOutcome::Unknown(failure.message),
            GatewayResult::Nothing(reason) => VoidOutcome::Unknown(reason),
        }
    }
}
