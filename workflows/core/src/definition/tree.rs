//! The file as a tree of values, each with its place: lenient, so that one diagnostic does not hide the others.

use super::diagnostics::{Diagnostic, DiagnosticSink, Location, Rule, quoted};
use super::limits;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Options, Spanned, UserMessageFormatter};
use std::fmt;

/// A value and where it is written. What came by an alias has the place of its anchor.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Location,
    pub(super) value: Tree,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Nothing,
    Flag(bool),
    Whole(i128),
    Real(f64),
    Text(String),
    List(Vec<Node>),
    /// Keys as they stand, duplicates too.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// What it is, for a sentence: `the text "abc"`, `a list`.
    pub(super) fn described(&self) -> String {
        match &self.value {
            Tree::Nothing => "nothing".to_owned(),
            Tree::Flag(flag) => format!("`{flag}`"),
            Tree::Whole(number) => format!("the number {number}"),
            Tree::Real(number) => format!("the number {number}"),
            Tree::Text(text) => format!("the text {}", quoted(text)),
            Tree::List(_) => "a list".to_owned(),
            Tree::Map(_) => "a map".to_owned(),
        }
    }
}

impl Node {
    /// The value as JSON. What has no JSON form is noted.
    pub(super) fn json(&self, sink: &mut DiagnosticSink) -> Option<Value> {
        Some(match &self.value {
            Tree::Nothing => Value::Null,
            Tree::Flag(flag) => (*flag).into(),
            Tree::Text(text) => text.as_str().into(),
            Tree::Whole(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => number.into(),
                (Err(_), Ok(number)) => number.into(),
                (Err(_), Err(_)) => return self.no_json(sink),
            },
            Tree::Real(number) => match Number::from_f64(*number) {
                Some(number) => number.into(),
                None => return self.no_json(sink),
            },
            Tree::List(list) => {
                let items: Vec<_> = list.iter().map(|item| item.json(sink)).collect();
                Value::Array(items.into_iter().collect::<Option<_>>()?)
            }
            Tree::Map(map) => {
                let mut object = Map::new();
                let mut whole = true;
                for (key, value) in map {
                    let Tree::Text(name) = &key.value else {
                        sink.add(key.at, Rule::WrongType, || {
                            format!(
                                "a key is {}; it is a text: put it in quotes",
                                key.described()
                            )
                        });
                        whole = false;
                        continue;
                    };
                    let value = value.json(sink);
                    whole &= value.is_some();
                    if object
                        .insert(name.clone(), value.unwrap_or_default())
                        .is_some()
                    {
                        sink.add(key.at, Rule::DuplicateKey, || {
                            format!(
                                "{} is already written in this map; a key is written once",
                                quoted(name)
                            )
                        });
                        whole = false;
                    }
                }
                return whole.then_some(Value::Object(object));
            }
        })
    }

    fn no_json(&self, sink: &mut DiagnosticSink) -> Option<Value> {
        sink.add(self.at, Rule::Number, || {
            format!("{} has no JSON form", self.described())
        });
        None
    }

    /// What a JSON pointer (RFC 6901) leads to.
    pub(super) fn at_pointer(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |node, step| {
            let step = step.replace("~1", "/").replace("~0", "~");
            match &node.value {
                Tree::List(list) => list.get(step.parse::<usize>().ok()?),
                Tree::Map(map) => map.iter().find_map(|(key, value)| match &key.value {
                    Tree::Text(key) if *key == step => Some(value),
                    _ => None,
                }),
                _ => None,
            }
        })
    }
}

/// Reads the one document of a text, within the limits.
pub(super) fn read(text: &str) -> Result<Node, Diagnostic> {
    if text.len() > limits::MAX_FILE_BYTES {
        let sentence = format!(
            "the file has {} bytes; at most {} ({} KiB) are read",
            text.len(),
            limits::MAX_FILE_BYTES,
            limits::MAX_FILE_BYTES / 1024
        );
        return Err(Diagnostic {
            at: Location::START,
            rule: Rule::TooLarge,
            sentence,
        });
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| refused(&error))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: limits::MAX_YAML_DEPTH,
            max_events: limits::MAX_YAML_EVENTS,
            max_nodes: limits::MAX_YAML_EVENTS,
            max_aliases: limits::MAX_YAML_ALIASES,
            max_anchors: limits::MAX_YAML_ALIASES,
            max_merge_keys: limits::MAX_YAML_ALIASES,
            max_recorded_anchor_events: limits::MAX_YAML_EVENTS,
            max_recorded_anchor_bytes: 4 * limits::MAX_FILE_BYTES,
            max_total_scalar_bytes: limits::MAX_FILE_BYTES,
            // The second is refused by name, as the parser does it.
            max_documents: 2,
            // One anchor may well serve a hundred steps; the limits above bound what that costs.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: limits::MAX_REPLAYED_EVENTS,
            max_replay_stack_depth: limits::MAX_YAML_DEPTH,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        emit_comments: false,
        with_snippet: false,
    }
}

/// The parser's own refusal: it stops at the first.
fn refused(error: &Error) -> Diagnostic {
    let mut error = error.without_snippet();
    while let Error::AliasError { error: cause, .. } = error {
        error = cause;
    }
    let at = error.location().map_or(Location::START, place);
    let rule = match error {
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Rule::TooComplex,
        _ => Rule::Syntax,
    };
    let sentence = match rule {
        Rule::TooComplex => format!(
            "the file nests too deeply, or has too many values or aliases; \
             at most {} levels, {} values and {} aliases are read",
            limits::MAX_YAML_DEPTH,
            limits::MAX_YAML_EVENTS,
            limits::MAX_YAML_ALIASES
        ),
        _ => {
            let said = error.render_with_formatter(&UserMessageFormatter);
            // The place is told in front already.
            let said = said
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .replace('\n', " ");
            format!("this is not one YAML document: {said}")
        }
    };
    Diagnostic { at, rule, sentence }
}

fn place(location: serde_saphyr::Location) -> Location {
    Location {
        line: location.line().max(1),
        column: location.column().max(1),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self {
            at: place(spanned.defined),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Tree, E> {
        Ok(Tree::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Real(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Tree, E> {
        Ok(Tree::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Tree::Map(map))
    }
}
