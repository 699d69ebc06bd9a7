//! JSON Schemas (2020-12) of what a saga is started with, and of what its steps put out.
//!
//! A schema is compiled once, when its definition is read. It is a tree of bounded size: its references lead to places
//! in itself and never round in circles, and its regular expressions take a time that grows with the text alone. So a
//! check takes a bounded time too, whatever a worker or a caller sends.

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

/// A compiled schema. It is equal to another, and written, as its JSON.
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
    /// What is wrong, with types and names, and never with values: these may be sensitive.
    pub detail: String,
}

impl Schema {
    /// Reads the schema that a key of a definition holds.
    pub(super) fn read(node: &Node, what: &str, sink: &mut DiagnosticSink) -> Option<Self> {
        let value = inspect::inspect(node, what, sink)?;
        // It recurses, as deep as the limits allow.
        match on_deep_stack(|| compile(&value)) {
            Ok(Ok(compiled)) => Some(Self {
                value: Arc::new(value),
                compiled: Arc::new(compiled),
            }),
            Ok(Err((pointer, why))) => {
                let at = node.at_pointer(&pointer).unwrap_or(node).at;
                sink.add(at, Rule::Schema, || {
                    format!("{what} is no JSON Schema (2020-12): {why}")
                });
                None
            }
            Err(why) => {
                sink.add(node.at, Rule::Schema, || {
                    format!("{what} cannot be compiled: {why}")
                });
                None
            }
        }
    }

    /// One that every object fits, and nothing else.
    pub fn any_object() -> Self {
        let value = serde_json::json!({ "type": "object" });
        let compiled = compile(&value).expect("it is a schema");
        Self {
            value: Arc::new(value),
            compiled: Arc::new(compiled),
        }
    }

    /// Whether a payload fits.
    ///
    /// # Errors
    /// The first [`limits::MAX_SCHEMA_VIOLATIONS`] parts of it that do not.
    pub fn check(&self, payload: &Payload) -> Result<(), Vec<SchemaViolation>> {
        let Ok(value) = payload.decode::<Value>() else {
            let detail =
                "is nested too deeply, or has a number that is too large, to be looked into"
                    .to_owned();
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
            cut(&error.to_string()),
        )
    })
}

/// What one error says: about each field by itself where it speaks of several.
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
            detail: cut(&error.masked_with("it").to_string()),
        }],
    }
}

/// One line of a bounded length.
fn cut(text: &str) -> String {
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
