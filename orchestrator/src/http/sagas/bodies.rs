//! The request bodies of `/sagas`.

use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::http::validation::request_body;
use saga_core::transition::input::{Complete, Fail, OperatorRequest, Resolve};
use saga_protocol::message::{MAX_INPUT_BYTES, MAX_OUTPUT_BYTES};
use saga_protocol::{Failure, Payload};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

request_body!(StartBody, ReasonBody, CompleteBody, FailBody, ResolveBody);

/// The body of `POST /sagas`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"workflow": "order", "key": "table-7", "input": {"fulfilment": "pickup"}}))]
pub struct StartBody {
    /// The workflow.
    #[schema(min_length = 1, max_length = 63, pattern = r"^[^\x00]*$")]
    pub workflow: String,
    /// The version; the highest by default.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub version: Option<u32>,
    /// The business key, unique within the workflow; the id of the saga by default.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00]*$")]
    pub key: Option<String>,
    /// The input, `{}` by default.
    #[serde(default, deserialize_with = "saga_protocol::deserialize_some")]
    #[schema(value_type = Option<Value>, required = false)]
    pub input: Option<Payload>,
}

/// The body of an operator's action. May be omitted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "customer"}))]
pub struct ReasonBody {
    /// The reason, `unspecified` by default.
    #[schema(max_length = 500, pattern = r"^[^\x00]*$")]
    pub reason: Option<String>,
}

/// The body of `POST /sagas/{id}/steps/{step}/complete`. May be omitted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"output": {"ticket": 7}, "reason": "confirmed by phone"}))]
pub struct CompleteBody {
    /// The output of the step, `{}` by default.
    #[serde(default, deserialize_with = "saga_protocol::deserialize_some")]
    #[schema(value_type = Option<Value>, required = false)]
    pub output: Option<Payload>,
    /// The reason, recorded in the history.
    #[schema(max_length = 500, pattern = r"^[^\x00]*$")]
    pub reason: Option<String>,
}

/// The body of `POST /sagas/{id}/steps/{step}/fail`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"error": {"code": "closed", "message": "the kitchen is closed"}}))]
pub struct FailBody {
    /// Why the step failed. It is not retried.
    pub error: ErrorBody,
}

/// Why a step failed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// A stable code, to be matched by programs.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00]*$")]
    pub code: String,
    /// A message for operators.
    #[schema(max_length = 2000, pattern = r"^[^\x00]*$")]
    pub message: Option<String>,
    /// Ignored, so that an error from a response can be sent.
    #[serde(rename = "retryable")]
    #[schema(required = false)]
    pub _retryable: Option<Value>,
}

/// The body of `POST /sagas/{id}/steps/{step}/resolve`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"note": "refunded by bank transfer 4711"}))]
pub struct ResolveBody {
    /// What the operator did.
    #[schema(min_length = 1, max_length = 2000, pattern = r"^[^\x00]*$")]
    pub note: String,
}

impl StartBody {
    /// Removes the input from the body.
    ///
    /// # Errors
    /// 422 if the input is too large.
    pub fn take_input(&mut self) -> Result<Payload, Problem> {
        checked_payload(self.input.take(), "#/input", MAX_INPUT_BYTES)
    }
}

impl ReasonBody {
    /// The request of a caller.
    pub fn into_input(self, caller: &Caller) -> OperatorRequest {
        let reason = self.reason.filter(|reason| !reason.is_empty());

        OperatorRequest {
            reason: reason.unwrap_or_else(|| "unspecified".to_owned()),
            by: caller.name().to_owned(),
        }
    }
}

impl CompleteBody {
    /// The completion of a step.
    ///
    /// # Errors
    /// 422 if the output is too large.
    pub fn into_input(self, step: String, caller: &Caller) -> Result<Complete, Problem> {
        Ok(Complete {
            step,
            output: checked_payload(self.output, "#/output", MAX_OUTPUT_BYTES)?,
            reason: self.reason.unwrap_or_default(),
            by: caller.name().to_owned(),
        })
    }
}

impl FailBody {
    /// The failure of a step.
    pub fn into_input(self, step: String, caller: &Caller) -> Fail {
        let ErrorBody { code, message, .. } = self.error;

        Fail {
            step,
            error: Failure::permanent(&code, message.unwrap_or_default()),
            by: caller.name().to_owned(),
        }
    }
}

impl ResolveBody {
    /// The resolution of a parked compensation.
    pub fn into_input(self, step: String, caller: &Caller) -> Resolve {
        Resolve {
            step,
            note: self.note,
            by: caller.name().to_owned(),
        }
    }
}

/// A payload, `{}` by default. Its size is that of its JSON text, which a schema cannot limit.
fn checked_payload(
    payload: Option<Payload>,
    pointer: &str,
    max_bytes: usize,
) -> Result<Payload, Problem> {
    let payload = payload.unwrap_or_else(Payload::empty);
    let bytes = payload.get().len();
    if bytes > max_bytes {
        let detail = format!("must have at most {max_bytes} bytes of JSON, it has {bytes}");
        return Err(Problem::invalid_field(pointer, detail));
    }

    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_protocol::{MAX_ERROR_CODE_CHARS, MAX_ERROR_MESSAGE_CHARS};
    use utoipa::PartialSchema;

    #[test]
    fn error_limits_match_the_protocol() {
        let schema = serde_json::to_value(ErrorBody::schema()).unwrap();

        let properties = &schema["properties"];
        assert_eq!(properties["code"]["maxLength"], MAX_ERROR_CODE_CHARS);
        assert_eq!(properties["message"]["maxLength"], MAX_ERROR_MESSAGE_CHARS);
    }
}
