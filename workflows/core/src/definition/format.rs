//! The format of a definition as a JSON Schema (2020-12), for editors: from the same keys and limits that the reader
//! has.
//!
//! It refuses nothing that the reader takes. What concerns several steps, expressions and schemas themselves only the
//! reader checks.

use super::limits;
use super::read::{STEP_KEYS, WORKFLOW_KEYS};
use super::schedules::{COMPENSATION_KEYS, RETRY_KEYS};
use saga_protocol::MAX_ERROR_CODE_CHARS;
use serde_json::{Map, Value, json};

/// Where a schema of schemas is found.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The JSON Schema of a definition. `workflows/definitions/workflow.schema.json` holds it.
pub fn json_schema() -> Value {
    let mut schema = map(
        WORKFLOW_KEYS,
        &["workflow", "version", "steps"],
        workflow_key,
    );
    schema["$schema"] = DIALECT.into();
    schema["title"] = "A workflow definition".into();
    schema["$defs"] = json!({
        "name": {
            "type": "string",
            "pattern": format!("^[a-z0-9][a-z0-9-]{{0,{}}}$", limits::MAX_NAME_CHARS - 1),
        },
        "duration": {
            "type": "string",
            "description": "A number with a unit, such as 200ms, 30s or 1h 30m: 1ms to 365d.",
            "pattern": r"^\s*[0-9]",
        },
        "schema": {
            "description": "A JSON Schema (2020-12). References lead to places in itself.",
            "type": ["object", "boolean"],
        },
        "step": map(STEP_KEYS, &["name"], step_key),
        "retry": map(RETRY_KEYS, &[], retry_key),
    });
    schema
}

/// A map with these keys and no others.
fn map(keys: &[&str], required: &[&str], describe: fn(&str) -> Value) -> Value {
    let properties: Map<_, _> = keys
        .iter()
        .map(|key| ((*key).to_owned(), describe(key)))
        .collect();
    let mut map =
        json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        map["required"] = json!(required);
    }
    map
}

/// A reference with words of its own.
fn refer(to: &str, description: &str) -> Value {
    json!({"$ref": format!("#/$defs/{to}"), "description": description})
}

fn workflow_key(key: &str) -> Value {
    match key {
        "workflow" => refer("name", "The workflow's name."),
        "version" => json!({
            "description": "A saga keeps the version it began with; a version never changes once it is stored.",
            "type": "integer", "minimum": 1, "maximum": limits::MAX_VERSION,
        }),
        "deadline" => refer(
            "duration",
            "From a saga's start; then it is cancelled. 24h unless given.",
        ),
        "input_schema" => refer("schema", "What a saga may be started with."),
        "sensitive" => json!({
            "description": "Paths such as input.payment.token: sent to workers, and shown as ••• everywhere else.",
            "type": "array", "maxItems": limits::MAX_SENSITIVE_PATHS,
            "items": {"type": "string", "pattern": r"^(input|steps)\.", "maxLength": limits::MAX_SENSITIVE_PATH_CHARS},
        }),
        _ => json!({
            "description": "The steps, each behind the one above it unless `needs` says otherwise.",
            "type": "array", "minItems": 1, "maxItems": limits::MAX_STEPS, "items": {"$ref": "#/$defs/step"},
        }),
    }
}

fn step_key(key: &str) -> Value {
    match key {
        "name" => refer("name", "Unique in its workflow."),
        "worker" => refer("name", "Who does it: the step's name unless given."),
        "needs" => json!({
            "description": "The steps before it; the one above unless given. [] starts at once.",
            "type": "array", "items": {"$ref": "#/$defs/name"}, "uniqueItems": true,
        }),
        "timeout" => refer(
            "duration",
            "For one attempt; 30s unless given. At most the deadline.",
        ),
        "reminder" => refer(
            "duration",
            "Once it has been waiting for so long, one event step.reminder goes out.",
        ),
        "retry" => refer("retry", "When a failed attempt is followed by another."),
        "when" => json!({
            "description": "A condition (CEL) over `input` and `steps`; if it does not hold, the step is skipped.",
            "type": "string", "maxLength": limits::MAX_EXPRESSION_BYTES,
        }),
        "pivot" => json!({
            "description": "The point of no return: behind it nothing is undone, and each step is retried until done.",
            "type": "boolean",
        }),
        "output_schema" => refer(
            "schema",
            "What it may put out; any other output fails it for good.",
        ),
        _ => json!({
            "description": "true: it is undone; false: there is nothing to undo; or how it is undone.",
            "oneOf": [{"type": "boolean"}, map(COMPENSATION_KEYS, &[], compensation_key)],
        }),
    }
}

fn compensation_key(key: &str) -> Value {
    match key {
        "timeout" => refer("duration", "For one attempt; 30s unless given."),
        _ => refer("retry", "After the last attempt the saga is parked."),
    }
}

fn retry_key(key: &str) -> Value {
    match key {
        "attempts" => json!({
            "description": "In all, the first included. Not behind the pivot.",
            "type": "integer", "minimum": 1, "maximum": limits::MAX_ATTEMPTS,
        }),
        "first" => refer("duration", "The delay behind the first attempt."),
        "factor" => json!({
            "description": "What each further delay is multiplied with.",
            "type": "number", "minimum": 1, "maximum": limits::MAX_FACTOR,
        }),
        "max" => refer("duration", "The longest delay."),
        "jitter" => json!({
            "description": "The share by which a delay is shortened or lengthened.",
            "type": "number", "minimum": 0, "maximum": limits::MAX_JITTER,
        }),
        _ => json!({
            "description": "Codes of errors that no further attempt follows, whatever the worker says.",
            "type": "array", "maxItems": limits::MAX_NOT_RETRYABLE_CODES,
            "items": {"type": "string", "minLength": 1, "maxLength": MAX_ERROR_CODE_CHARS},
        }),
    }
}
