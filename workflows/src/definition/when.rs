//! The condition of a step: an expression in CEL (Common Expression Language, cel.dev) over `input` and `steps`.
//!
//! The interpreter recurses, with large frames, and has no limit on cost. So what is compiled is small and without loops
//! (no macro but `has`, no regular expressions), and anything deep runs on a thread with a stack of its own.

use super::limits;
use super::mistakes::{Rule, quoted};
use crate::Payload;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::parser::Macro;
use cel::{Context, Env, ExecutionError, Program, Value};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

/// Enough for the deepest expression of [`limits::EXPRESSION_BYTES`], unoptimised, many times over. Only touched pages
/// cost memory.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// Levels that are evaluated on the caller's stack: a thread costs more than all but the rarest conditions.
const SHALLOW_LEVELS: usize = 12;

/// What may be called, besides operators and `has`.
const FUNCTIONS: &[&str] =
    &["bool", "bytes", "contains", "double", "dyn", "endsWith", "int", "size", "startsWith", "string", "type", "uint"];
/// The macros of CEL that loop.
const LOOPS: &[&str] = &["all", "exists", "exists_one", "existsOne", "map", "filter"];
/// What may be named: the two variables, and the types.
const NAMES: &[&str] =
    &["input", "steps", "bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::default().with_optional_support(false).with_stdlib();
    let has = Macro::global("has", 1, |helper, _, args| match args.pop() {
        Some(IdedExpr { expr: Expr::Select(mut select), .. }) => {
            select.test = true;
            Ok(Some(helper.next_expr(Expr::Select(select))))
        }
        other => Err(helper.new_error(other.map_or(0, |arg| arg.id), "has() takes a field, as in has(input.a)")),
    });
    env.add_macro(has).expect("the environment has no macro yet");
    Arc::new(env)
});

/// A compiled condition. It is equal to another, and written, as its text.
#[derive(Clone)]
pub struct When {
    text: Arc<str>,
    program: Arc<Program>,
    levels: usize,
}

/// Why an expression cannot be a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Its text is over [`limits::EXPRESSION_BYTES`].
    #[error("the expression has {0} bytes; at most {most} are read", most = limits::EXPRESSION_BYTES)]
    Bytes(usize),
    /// It has more than [`limits::EXPRESSION_NODES`].
    #[error("the expression has {0} values, fields and operators; at most {most}", most = limits::EXPRESSION_NODES)]
    Nodes(usize),
    /// It calls what it may not.
    #[error("{0}")]
    Function(String),
    /// It is not CEL, or names what is not there.
    #[error("{0}")]
    Syntax(String),
}

impl Unfit {
    /// The rule that is broken.
    pub fn rule(&self) -> Rule {
        match self {
            Self::Bytes(_) | Self::Nodes(_) => Rule::ExpressionTooLarge,
            Self::Function(_) => Rule::ExpressionFunction,
            Self::Syntax(_) => Rule::Expression,
        }
    }
}

impl When {
    /// Compiles an expression.
    ///
    /// # Errors
    /// If it is not CEL, too large, or calls a loop, a regular expression or a function that is not there.
    pub fn compile(text: &str) -> Result<Self, Unfit> {
        if text.len() > limits::EXPRESSION_BYTES {
            return Err(Unfit::Bytes(text.len()));
        }
        let compiled = on_deep_stack(|| {
            let program = ENV.compile(text).map_err(|errors| not_cel(text, &errors))?;
            let levels = inspect(program.expression())?;
            Ok((program, levels))
        });
        let (program, levels) = compiled.map_err(Unfit::Syntax)??;
        Ok(Self { text: text.into(), program: Arc::new(program), levels })
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
    pub fn evaluate(&self, input: &Payload, steps: &BTreeMap<String, Payload>) -> Result<bool, String> {
        let run = || self.run(input, steps);
        let result = if self.levels <= SHALLOW_LEVELS {
            catch_unwind(AssertUnwindSafe(run)).map_err(|_| PANICKED.to_owned())
        } else {
            on_deep_stack(run)
        };
        result.and_then(|result| result).map_err(|why| format!("the condition {} failed: {why}", quoted(&self.text)))
    }

    fn run(&self, input: &Payload, steps: &BTreeMap<String, Payload>) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_variable_from_value("input", value(input)?);
        let outputs = steps.iter().map(|(name, output)| Ok((name.clone(), value(output)?)));
        context.add_variable_from_value("steps", outputs.collect::<Result<HashMap<_, _>, String>>()?);
        match self.program.execute(&context) {
            Ok(Value::Bool(result)) => Ok(result),
            Ok(other) => Err(format!("it is of type {}, neither true nor false", other.type_of())),
            Err(error) => Err(sentence(&error)),
        }
    }
}

const PANICKED: &str = "the interpreter panicked on it";

/// Runs on a stack that no expression within the limits overflows; a panic ends there.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
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

fn not_cel(text: &str, errors: &cel::ParseErrors) -> Unfit {
    let said = match errors.errors.first() {
        Some(error) => format!("{} (at its character {})", error.msg.replace('\n', " "), error.pos.1),
        None => "it cannot be read".to_owned(),
    };
    Unfit::Syntax(format!("{} is not an expression: {said}", quoted(text)))
}

/// Checks each part; returns how deep the expression is.
fn inspect(root: &IdedExpr) -> Result<usize, Unfit> {
    let mut nodes = 0;
    let mut deepest = 0;
    let mut refused = None;
    let mut open = vec![(root, 1)];
    while let Some((node, level)) = open.pop() {
        nodes += 1;
        deepest = deepest.max(level);
        if refused.is_none() {
            refused = inspect_one(&node.expr);
        }
        open.extend(children(&node.expr).into_iter().map(|child| (child, level + 1)));
    }
    match refused {
        Some(unfit) => Err(unfit),
        None if nodes > limits::EXPRESSION_NODES => Err(Unfit::Nodes(nodes)),
        None => Ok(deepest),
    }
}

fn inspect_one(expr: &Expr) -> Option<Unfit> {
    match expr {
        Expr::Call(call) => {
            let name = call.func_name.as_str();
            let is_operator = !name.starts_with(|first: char| first.is_ascii_alphabetic());
            if is_operator || FUNCTIONS.contains(&name) {
                return None;
            }
            let why = match name {
                "matches" => "`matches` is not available: a regular expression has no bound; compare, or use \
                              contains, startsWith, endsWith"
                    .to_owned(),
                "has" => "`has` takes one field, as in has(input.a)".to_owned(),
                _ if LOOPS.contains(&name) => {
                    format!("the macro `{name}` is not available: a condition has no loops; only `has` may be used")
                }
                _ => format!("there is no function {}; there are has, {}", quoted(name), FUNCTIONS.join(", ")),
            };
            Some(Unfit::Function(why))
        }
        Expr::Ident(name) if !NAMES.contains(&name.trim_start_matches('.')) => {
            Some(Unfit::Syntax(format!("there is no {}; an expression is about `input` and `steps`", quoted(name))))
        }
        Expr::Struct(made) => {
            Some(Unfit::Syntax(format!("there is no type {}; compare values", quoted(&made.type_name))))
        }
        Expr::Comprehension(_) | Expr::Unspecified => Some(Unfit::Syntax("it cannot be evaluated".to_owned())),
        Expr::Ident(_) | Expr::Literal(_) | Expr::List(_) | Expr::Map(_) | Expr::Select(_) => None,
    }
}

fn children(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| match &entry.expr {
                EntryExpr::StructField(field) => vec![&field.value],
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            })
            .collect(),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Comprehension(_) => Vec::new(),
    }
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
            Json::Object(map) => map.into_iter().map(|(key, json)| (key, of(json))).collect::<HashMap<_, _>>().into(),
        }
    }
    payload.read().map(of).map_err(|_| "a payload is nested too deeply to be looked into".to_owned())
}

/// What went wrong, without a value in it.
fn sentence(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => {
            format!("there is no {}; ask with has() first", quoted(key))
        }
        ExecutionError::UndeclaredReference(name) => format!("there is no {}", quoted(name)),
        ExecutionError::NoSuchOverload(overload) => {
            format!("{} is not defined for ({})", overload.function(), overload.argument_types().join(", "))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} and {} cannot be compared", left.type_of(), right.type_of())
        }
        ExecutionError::UnexpectedType { got, want } => {
            format!("{got} stands where {want} is needed")
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!("{operator} is not defined for ({}, {})", left.type_of(), right.type_of())
        }
        ExecutionError::UnsupportedIndex(of, by) => {
            format!("{} has nothing at an index of type {}", by.type_of(), of.type_of())
        }
        ExecutionError::IndexOutOfBounds(_) => "a list has no such index".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "it divides by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number in it is too large".to_owned(),
        ExecutionError::DuplicateKey(_) => "a map in it has a key twice".to_owned(),
        ExecutionError::FunctionError { function, .. } => {
            format!("the function {function} refused its argument")
        }
        _ => "it cannot be evaluated".to_owned(),
    }
}

impl fmt::Debug for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for When {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for When {}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
