//! The condition of a step: an expression in CEL (Common Expression Language, cel.dev) over `input` and `steps`.
//!
//! The interpreter recurses, with large frames, and has no limit on cost. So what is compiled is small and has no loops
//! (no macro but `has`, no regular expressions), and anything deep runs on a thread with a stack of its own.

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

/// A compiled condition. It is equal to another, and written, as its text.
#[derive(Clone)]
pub struct Condition {
    text: Arc<str>,
    compiled: Arc<Compiled>,
}

impl Condition {
    /// Compiles an expression.
    ///
    /// # Errors
    /// If it is not CEL, too large, or calls a loop, a regular expression or a function that is not there.
    pub fn compile(text: &str) -> Result<Self, ConditionError> {
        expression::glance(text)?;
        let compiled =
            on_deep_stack(|| expression::read(text)).map_err(ConditionError::Syntax)??;
        Ok(Self {
            text: text.into(),
            compiled: Arc::new(compiled),
        })
    }

    /// The expression.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the step is to be done. `steps` holds the outputs of the completed steps by name.
    ///
    /// # Errors
    /// A sentence, if the expression names what is not there, or its result is neither true nor false. It tells types
    /// and names, never values: these may be sensitive.
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
            .map_err(|why| format!("the condition {} failed: {why}", quoted(&self.text)))
    }

    fn run(&self, input: &Payload, steps: &BTreeMap<String, Payload>) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&expression::ENV));
        // Only what is asked for: to read the payloads takes longer than all the rest.
        if self.compiled.asks_input {
            context.add_variable_from_value("input", value(input)?);
        }
        if self.compiled.asks_steps {
            let outputs = steps
                .iter()
                .map(|(name, output)| Ok((name.clone(), value(output)?)));
            context.add_variable_from_value(
                "steps",
                outputs.collect::<Result<HashMap<_, _>, String>>()?,
            );
        }
        match self.compiled.program.execute(&context) {
            Ok(Value::Bool(result)) => Ok(result),
            Ok(other) => Err(format!(
                "it is of type {}, neither true nor false",
                other.type_of()
            )),
            Err(error) => Err(sentence(&error)),
        }
    }
}

const PANICKED: &str = "the interpreter panicked on it";

/// Runs on a stack that no expression within the limits overflows; a panic ends there.
pub(super) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("expression".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| format!("no thread could be started for it: {error}"))?
            .join()
            .map_err(|_| PANICKED.to_owned())
    })
}

/// JSON as CEL sees it: a whole number is an int, or a uint where it is too large for one.
fn value(payload: &Payload) -> Result<Value, String> {
    fn of(json: serde_json::Value) -> Value {
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
            Json::Array(items) => Value::from(items.into_iter().map(of).collect::<Vec<_>>()),
            Json::Object(map) => map
                .into_iter()
                .map(|(key, json)| (key, of(json)))
                .collect::<HashMap<_, _>>()
                .into(),
        }
    }
    payload
        .decode()
        .map(of)
        .map_err(|_| "a payload is nested too deeply to be looked into".to_owned())
}

/// What went wrong, without a value in it.
fn sentence(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => {
            format!("there is no {}; ask with has() first", quoted(key))
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
            format!("{got} stands where {want} is needed")
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!(
                "{operator} is not defined for ({}, {})",
                left.type_of(),
                right.type_of()
            )
        }
        ExecutionError::UnsupportedIndex(of, by) => {
            format!(
                "{} has nothing at an index of type {}",
                by.type_of(),
                of.type_of()
            )
        }
        ExecutionError::IndexOutOfBounds(_) => "a list has no such index".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "it divides by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number in it is too large".to_owned(),
        ExecutionError::DuplicateKey(_) => "a map in it has a key twice".to_owned(),
        ExecutionError::FunctionError { function, .. } => {
            format!("the function {function} refused its argument")
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
