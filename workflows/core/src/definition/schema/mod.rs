//! JSON Schemas (2020-12) of saga inputs and step outputs.
//!
//! A schema is compiled once, when its definition is parsed. Its size is bounded, its references stay within the schema
//! and form no cycle, and its regular expressions take linear time. Therefore the time of a check is bounded, whatever a
//! worker or a client sends.

mod inspect;

use super::condition::on_deep_stack;
use super::diagnostics::{DiagnosticSink, Rule};
use super::limits;
use super::tree::Node;
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use saga_protocol::Payload;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// A compiled schema. It is compared and serialised as its JSON.
#[derive(Clone)]
pub struct Schema {
    value: Arc<Value>,
    compiled: Arc<Validator>,
}

/// A part of a payload that its schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaViolation {
    /// Where it is, as a JSON pointer (RFC 6901); empty for the whole.
    pub pointer: String,
    /// The violation, with types and names, but no values, which may be sensitive.
    pub detail: String,
}

impl Schema {
    /// Reads the schema that a key of a definition holds.
    pub(super) fn read(node: &Node, subject: &str, sink: &mut DiagnosticSink) -> Option<Self> {
        let value = inspect::inspect(node, subject, sink)?;
        // Compilation recurses as deep as the limits allow, which exceeds the stack of a thread.
        match on_deep_stack(|| compile(&value)) {
            Ok(Ok(compiled)) => Some(Self {
                value: Arc::new(value),
                compiled: Arc::new(compiled),
            }),
            Ok(Err((pointer, reason))) => {
                let at = node.at_pointer(&pointer).unwrap_or(node).at;
                sink.add(at, Rule::Schema, || {
                    format!("{subject} is not a JSON Schema (2020-12): {reason}")
                });
                None
            }
            Err(reason) => {
                sink.add(node.at, Rule::Schema, || {
                    format!("{subject} cannot be compiled: {reason}")
                });
                None
            }
        }
    }

    /// A schema that accepts every object, and nothing else.
    pub fn any_object() -> Self {
        let value = serde_json::json!({ "type": "object" });
        let compiled = compile(&value).expect("it is a schema");
        Self {
            value: Arc::new(value),
            compiled: Arc::new(compiled),
        }
    }

    /// Checks a payload.
    ///
    /// # Errors
    /// The first [`limits::MAX_SCHEMA_VIOLATIONS`] violations.
    pub fn check(&self, payload: &Payload) -> Result<(), Vec<SchemaViolation>> {
        let Ok(value) = payload.decode::<Value>() else {
            let detail = "is nested too deeply, or has a number that is too large".to_owned();
            return Err(vec![SchemaViolation {
                pointer: String::new(),
                detail,
            }]);
        };
        if self.compiled.is_valid(&value) {
            return Ok(());
        }
        let errors = self.compiled.iter_errors(&value);
        Err(errors
            .flat_map(|error| violations(&error))
            .take(limits::MAX_SCHEMA_VIOLATIONS)
            .collect())
    }
}

fn compile(value: &Value) -> Result<Validator, (String, String)> {
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .with_pattern_options(PatternOptions::regex().size_limit(limits::MAX_PATTERN_BYTES));
    options.build(value).map_err(|error| {
        (
            error.instance_path().as_str().to_owned(),
            truncate(&error.to_string()),
        )
    })
}

/// The violations of one error: one for each field that it names.
fn violations(error: &ValidationError<'_>) -> Vec<SchemaViolation> {
    let at = error.instance_path().as_str();
    let field = |name: &str, detail: &str| SchemaViolation {
        pointer: format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
        detail: detail.to_owned(),
    };
    match error.kind() {
        Kind::Required {
            property: Value::String(name),
        } => vec![field(name, "is missing")],
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            unexpected
                .iter()
                .map(|name| field(name, "is not known"))
                .collect()
        }
        _ => vec![SchemaViolation {
            pointer: at.to_owned(),
            detail: truncate(&error.masked_with("it").to_string()),
        }],
    }
}

/// A single line of bounded length.
fn truncate(text: &str) -> String {
    text.chars()
        .take(limits::MAX_VIOLATION_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

impl fmt::Display for SchemaViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.pointer, self.detail)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}
