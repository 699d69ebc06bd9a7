//! The condition of a step: an expression in CEL (Common Expression Language, cel.dev) over `input` and `steps`.
//!
//! The interpreter recurses with large frames, and does not limit the cost. Therefore expressions are small and have no
//! loops (no macro but `has`, no regular expressions), and deep ones run on a thread with a larger stack.

use super::diagnostics::quoted;
use super::expression::{self, Compiled, ConditionError};
use cel::{Context, ExecutionError, Value};
use saga_protocol::Payload;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Enough for the deepest expression of [`limits::MAX_EXPRESSION_BYTES`], unoptimised, many times over. Only touched pages
/// cost memory.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// Levels that are evaluated on the caller's stack, since a thread costs more than the condition itself. A level takes
/// 40 KiB unoptimised, so this is a sixth of the 2 MiB that a thread has.
const SHALLOW_LEVELS: usize = 8;

/// A compiled condition. It is compared and serialised as its text.
#[derive(Clone)]
pub struct Condition {
    text: Arc<str>,
    compiled: Arc<Compiled>,
}

impl Condition {
    /// Compiles an expression.
    ///
    /// # Errors
    /// If the text is not CEL, is too large, or uses a loop, a regular expression or an unknown function.
    pub fn compile(text: &str) -> Result<Self, ConditionError> {
        expression::check_size(text)?;
        let compiled =
            on_deep_stack(|| expression::compile(text)).map_err(ConditionError::Syntax)??;
        Ok(Self {
            text: text.into(),
            compiled: Arc::new(compiled),
        })
    }

    /// The expression.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Evaluates whether the step runs. `steps` holds the outputs of the completed steps by name.
    ///
    /// # Errors
    /// A message, if a name does not exist or the result is not a boolean. It contains types and names, but no values,
    /// which may be sensitive.
    pub fn evaluate(
        &self,
        input: &Payload,
        steps: &BTreeMap<String, Payload>,
    ) -> Result<bool, String> {
        let run = || self.run(input, steps);
        let result = if self.compiled.levels <= SHALLOW_LEVELS {
            catch_unwind(AssertUnwindSafe(run)).map_err(|_| PANICKED.to_owned())
        } else {
            on_deep_stack(run)
        };
        result
            .and_then(|result| result)
            .map_err(|reason| format!("the condition {} failed: {reason}", quoted(&self.text)))
    }

    fn run(&self, input: &Payload, steps: &BTreeMap<String, Payload>) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&expression::ENV));
        // Only the variables in use: decoding the payloads takes longer than the evaluation.
        if self.compiled.uses_input {
            context.add_variable_from_value("input", to_cel(input)?);
        }
        if self.compiled.uses_steps {
            let outputs = steps
                .iter()
                .map(|(name, output)| Ok((name.clone(), to_cel(output)?)));
            context.add_variable_from_value(
                "steps",
                outputs.collect::<Result<HashMap<_, _>, String>>()?,
            );
        }
        match self.compiled.program.execute(&context) {
            Ok(Value::Bool(result)) => Ok(result),
            Ok(other) => Err(format!(
                "the result is of type {}, expected bool",
                other.type_of()
            )),
            Err(error) => Err(describe(&error)),
        }
    }
}

const PANICKED: &str = "the interpreter panicked";

/// Runs `work` on a stack that no expression within the limits overflows, and catches a panic.
pub(super) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("expression".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| format!("no thread could be started: {error}"))?
            .join()
            .map_err(|_| PANICKED.to_owned())
    })
}

/// JSON as CEL sees it: a whole number is an int, or a uint where it is too large for one.
fn to_cel(payload: &Payload) -> Result<Value, String> {
    fn from_json(json: serde_json::Value) -> Value {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(flag),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(whole), _) => Value::Int(whole),
                (None, Some(whole)) => Value::UInt(whole),
                (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::from(text),
            Json::Array(items) => Value::from(items.into_iter().map(from_json).collect::<Vec<_>>()),
            Json::Object(map) => map
                .into_iter()
                .map(|(key, json)| (key, from_json(json)))
                .collect::<HashMap<_, _>>()
                .into(),
        }
    }
    payload
        .decode()
        .map(from_json)
        .map_err(|_| "a payload is nested too deeply".to_owned())
}

/// Describes an error without values, which may be sensitive.
fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => {
            format!("there is no {}; test it with has() first", quoted(key))
        }
        ExecutionError::UndeclaredReference(name) => format!("there is no {}", quoted(name)),
        ExecutionError::NoSuchOverload(overload) => {
            format!(
                "{} is not defined for ({})",
                overload.function(),
                overload.argument_types().join(", ")
            )
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!(
                "{} and {} cannot be compared",
                left.type_of(),
                right.type_of()
            )
        }
        ExecutionError::UnexpectedType { got, want } => {
            format!("the type is {got}, expected {want}")
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!(
                "{operator} is not defined for ({}, {})",
                left.type_of(),
                right.type_of()
            )
        }
        ExecutionError::UnsupportedIndex(container, index) => {
            format!(
                "{} cannot be indexed by {}",
                index.type_of(),
                container.type_of()
            )
        }
        ExecutionError::IndexOutOfBounds(_) => "the list index is out of bounds".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::DuplicateKey(_) => "duplicate key in a map".to_owned(),
        ExecutionError::FunctionError { function, .. } => {
            format!("the argument of {function} is invalid")
        }
        _ => "it cannot be evaluated".to_owned(),
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
