//! Compiles expressions, and restricts them: bounded size, no loops, no regular expressions, known names only.

use super::diagnostics::{Rule, quoted};
use super::limits;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::parser::Macro;
use cel::{Env, Program};
use std::sync::{Arc, LazyLock};

/// The functions that an expression may call, besides operators and `has`.
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
/// The macros of CEL that iterate.
const LOOPS: &[&str] = &["all", "exists", "exists_one", "existsOne", "map", "filter"];
/// The names that an expression may use: the two variables, and the types.
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

/// An error of an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Its text is over [`limits::MAX_EXPRESSION_BYTES`].
    #[error("the expression has {0} bytes; the limit is {limit}", limit = limits::MAX_EXPRESSION_BYTES)]
    Bytes(usize),
    /// It has more than [`limits::MAX_EXPRESSION_TOKENS`].
    #[error("the expression has {0} tokens; the limit is {limit}", limit = limits::MAX_EXPRESSION_TOKENS)]
    Tokens(usize),
    /// It has more than [`limits::MAX_EXPRESSION_NODES`].
    #[error("the expression has {0} values, fields and operators; the limit is {limit}", limit = limits::MAX_EXPRESSION_NODES)]
    Nodes(usize),
    /// It calls a function that is not available.
    #[error("{0}")]
    Function(String),
    /// It is not CEL, or uses an unknown name.
    #[error("{0}")]
    Syntax(String),
}

impl ConditionError {
    /// The violated rule.
    pub fn rule(&self) -> Rule {
        match self {
            Self::Bytes(_) | Self::Tokens(_) | Self::Nodes(_) => Rule::ExpressionTooLarge,
            Self::Function(_) => Rule::ExpressionFunction,
            Self::Syntax(_) => Rule::Expression,
        }
    }
}

/// Rejects a text that would take too long to parse. It does not parse it.
pub(super) fn check_size(text: &str) -> Result<(), ConditionError> {
    if text.len() > limits::MAX_EXPRESSION_BYTES {
        return Err(ConditionError::Bytes(text.len()));
    }
    match count_tokens(text) {
        tokens if tokens > limits::MAX_EXPRESSION_TOKENS => Err(ConditionError::Tokens(tokens)),
        _ => Ok(()),
    }
}

/// A compiled expression within the limits.
pub(super) struct Compiled {
    pub(super) program: Program,
    pub(super) levels: usize,
    /// Whether the expression uses `input`.
    pub(super) uses_input: bool,
    /// Whether the expression uses `steps`.
    pub(super) uses_steps: bool,
}

/// Compiles an expression. It recurses deeply, so the caller provides a deep stack.
pub(super) fn compile(text: &str) -> Result<Compiled, ConditionError> {
    let program = ENV
        .compile(text)
        .map_err(|errors| syntax_error(text, &errors))?;
    let levels = check_nodes(program.expression())?;
    let references = program.references();
    let uses = |name: &str| {
        references
            .variables()
            .iter()
            .any(|variable| variable.trim_start_matches('.') == name)
    };
    let uses_input = uses("input");
    let uses_steps = uses("steps");
    Ok(Compiled {
        program,
        levels,
        uses_input,
        uses_steps,
    })
}

/// The approximate number of tokens: words, string literals and signs.
fn count_tokens(text: &str) -> usize {
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

fn syntax_error(text: &str, errors: &cel::ParseErrors) -> ConditionError {
    let detail = match errors.errors.first() {
        Some(error) => format!(
            "{} (at character {})",
            error.msg.replace('\n', " "),
            error.pos.1
        ),
        None => "it cannot be parsed".to_owned(),
    };
    ConditionError::Syntax(format!(
        "{} is not a CEL expression: {detail}",
        quoted(text)
    ))
}

/// Checks each node, and returns the depth of the expression.
fn check_nodes(root: &IdedExpr) -> Result<usize, ConditionError> {
    let mut nodes = 0;
    let mut deepest = 0;
    let mut violation = None;
    let mut open = vec![(root, 1)];
    while let Some((node, level)) = open.pop() {
        nodes += 1;
        deepest = deepest.max(level);
        if violation.is_none() {
            violation = check_node(&node.expr);
        }
        open.extend(
            children(&node.expr)
                .into_iter()
                .map(|child| (child, level + 1)),
        );
    }
    match violation {
        Some(error) => Err(error),
        None if nodes > limits::MAX_EXPRESSION_NODES => Err(ConditionError::Nodes(nodes)),
        None => Ok(deepest),
    }
}

fn check_node(expr: &Expr) -> Option<ConditionError> {
    match expr {
        Expr::Call(call) => {
            let name = call.func_name.as_str();
            let is_operator = !name.starts_with(|first: char| first.is_ascii_alphabetic());
            if is_operator || FUNCTIONS.contains(&name) {
                return None;
            }
            let message = match name {
                "matches" => "`matches` is not available: its cost is not bounded; use ==, contains, startsWith \
                              or endsWith"
                    .to_owned(),
                "has" => "`has` takes one field, as in has(input.a)".to_owned(),
                _ if LOOPS.contains(&name) => {
                    format!("the macro `{name}` is not available: conditions have no loops; the only macro is `has`")
                }
                _ => format!("there is no function {}; the functions are has, {}", quoted(name), FUNCTIONS.join(", ")),
            };
            Some(ConditionError::Function(message))
        }
        Expr::Ident(name) if !NAMES.contains(&name.trim_start_matches('.')) => {
            Some(ConditionError::Syntax(format!(
                "there is no {}; the variables are `input` and `steps`",
                quoted(name)
            )))
        }
        Expr::Struct(literal) => Some(ConditionError::Syntax(format!(
            "there is no type {}; compare values",
            quoted(&literal.type_name)
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
