//! What an expression may hold: few nodes, no loops, no regular expressions, nothing that is not there.

use super::diagnostics::{Rule, quoted};
use super::limits;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::parser::Macro;
use cel::{Env, Program};
use std::sync::{Arc, LazyLock};

/// What may be called, besides operators and `has`.
const FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];
/// The macros of CEL that loop.
const LOOPS: &[&str] = &["all", "exists", "exists_one", "existsOne", "map", "filter"];
/// What may be named: the two variables, and the types.
const NAMES: &[&str] = &[
    "input",
    "steps",
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

/// The standard library of CEL, and of its macros only `has`.
pub(super) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::default().with_optional_support(false).with_stdlib();
    let has = Macro::global("has", 1, |helper, _, args| match args.pop() {
        Some(IdedExpr {
            expr: Expr::Select(mut select),
            ..
        }) => {
            select.test = true;
            Ok(Some(helper.next_expr(Expr::Select(select))))
        }
        other => Err(helper.new_error(
            other.map_or(0, |arg| arg.id),
            "has() takes a field, as in has(input.a)",
        )),
    });
    env.add_macro(has)
        .expect("the environment has no macro yet");
    Arc::new(env)
});

/// Why an expression cannot be a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Its text is over [`limits::MAX_EXPRESSION_BYTES`].
    #[error("the expression has {0} bytes; at most {most} are read", most = limits::MAX_EXPRESSION_BYTES)]
    Bytes(usize),
    /// It has more than [`limits::MAX_EXPRESSION_TOKENS`].
    #[error("the expression has {0} words and signs; at most {most} are read", most = limits::MAX_EXPRESSION_TOKENS)]
    Tokens(usize),
    /// It has more than [`limits::MAX_EXPRESSION_NODES`].
    #[error("the expression has {0} values, fields and operators; at most {most}", most = limits::MAX_EXPRESSION_NODES)]
    Nodes(usize),
    /// It calls what it may not.
    #[error("{0}")]
    Function(String),
    /// It is not CEL, or names what is not there.
    #[error("{0}")]
    Syntax(String),
}

impl ConditionError {
    /// The rule that is broken.
    pub fn rule(&self) -> Rule {
        match self {
            Self::Bytes(_) | Self::Tokens(_) | Self::Nodes(_) => Rule::ExpressionTooLarge,
            Self::Function(_) => Rule::ExpressionFunction,
            Self::Syntax(_) => Rule::Expression,
        }
    }
}

/// Refuses, without reading it, a text that would take long to read.
pub(super) fn glance(text: &str) -> Result<(), ConditionError> {
    if text.len() > limits::MAX_EXPRESSION_BYTES {
        return Err(ConditionError::Bytes(text.len()));
    }
    match tokens(text) {
        tokens if tokens > limits::MAX_EXPRESSION_TOKENS => Err(ConditionError::Tokens(tokens)),
        _ => Ok(()),
    }
}

/// An expression within the limits.
pub(super) struct Compiled {
    pub(super) program: Program,
    pub(super) levels: usize,
    /// It names `input`.
    pub(super) asks_input: bool,
    /// It names `steps`.
    pub(super) asks_steps: bool,
}

/// Compiles. Recurses deeply: to be called on a deep stack.
pub(super) fn read(text: &str) -> Result<Compiled, ConditionError> {
    let program = ENV.compile(text).map_err(|errors| not_cel(text, &errors))?;
    let levels = inspect(program.expression())?;
    let references = program.references();
    let asks = |name: &str| {
        references
            .variables()
            .iter()
            .any(|variable| variable.trim_start_matches('.') == name)
    };
    let (asks_input, asks_steps) = (asks("input"), asks("steps"));
    Ok(Compiled {
        program,
        levels,
        asks_input,
        asks_steps,
    })
}

/// How many words, texts in quotes and signs there are, roughly.
fn tokens(text: &str) -> usize {
    let mut tokens = 0;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            continue;
        }
        tokens += 1;
        if letter == '"' || letter == '\'' {
            while letters.next().is_some_and(|next| next != letter) {}
        } else if letter.is_alphanumeric() {
            while letters
                .next_if(|next| next.is_alphanumeric() || *next == '_')
                .is_some()
            {}
        }
    }
    tokens
}

fn not_cel(text: &str, errors: &cel::ParseErrors) -> ConditionError {
    let said = match errors.errors.first() {
        Some(error) => format!(
            "{} (at its character {})",
            error.msg.replace('\n', " "),
            error.pos.1
        ),
        None => "it cannot be read".to_owned(),
    };
    ConditionError::Syntax(format!("{} is not an expression: {said}", quoted(text)))
}

/// Checks each part; returns how deep the expression is.
fn inspect(root: &IdedExpr) -> Result<usize, ConditionError> {
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
        open.extend(
            children(&node.expr)
                .into_iter()
                .map(|child| (child, level + 1)),
        );
    }
    match refused {
        Some(unfit) => Err(unfit),
        None if nodes > limits::MAX_EXPRESSION_NODES => Err(ConditionError::Nodes(nodes)),
        None => Ok(deepest),
    }
}

fn inspect_one(expr: &Expr) -> Option<ConditionError> {
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
            Some(ConditionError::Function(why))
        }
        Expr::Ident(name) if !NAMES.contains(&name.trim_start_matches('.')) => {
            Some(ConditionError::Syntax(format!(
                "there is no {}; an expression is about `input` and `steps`",
                quoted(name)
            )))
        }
        Expr::Struct(made) => Some(ConditionError::Syntax(format!(
            "there is no type {}; compare values",
            quoted(&made.type_name)
        ))),
        Expr::Comprehension(_) | Expr::Unspecified => {
            Some(ConditionError::Syntax("it cannot be evaluated".to_owned()))
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::List(_) | Expr::Map(_) | Expr::Select(_) => None,
    }
}

fn children(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect(),
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
        Expr::Unspecified
        | Expr::Ident(_)
        | Expr::Literal(_)
        | Expr::Struct(_)
        | Expr::Comprehension(_) => Vec::new(),
    }
}
