//! The YAML file as a tree of values with locations. It is lenient, so that one error does not hide the others.

use super::diagnostics::{Diagnostic, DiagnosticSink, Location, Rule, quoted};
use super::limits;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Options, Spanned, UserMessageFormatter};
use std::fmt;

/// A value and its location. The location of an alias is that of its anchor.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Location,
    pub(super) value: YamlValue,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum YamlValue {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    String(String),
    List(Vec<Node>),
    /// Keys in file order, duplicates included.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// A phrase for messages: `the string "abc"`, `a list`.
    pub(super) fn described(&self) -> String {
        match &self.value {
            YamlValue::Null => "null".to_owned(),
            YamlValue::Bool(flag) => format!("`{flag}`"),
            YamlValue::Integer(number) => format!("the number {number}"),
            YamlValue::Float(number) => format!("the number {number}"),
            YamlValue::String(text) => format!("the string {}", quoted(text)),
            YamlValue::List(_) => "a list".to_owned(),
            YamlValue::Map(_) => "a map".to_owned(),
        }
    }

    /// The value as JSON. A value without a JSON form is reported.
    pub(super) fn json(&self, sink: &mut DiagnosticSink) -> Option<Value> {
        Some(match &self.value {
            YamlValue::Null => Value::Null,
            YamlValue::Bool(flag) => (*flag).into(),
            YamlValue::String(text) => text.as_str().into(),
            YamlValue::Integer(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => number.into(),
                (Err(_), Ok(number)) => number.into(),
                (Err(_), Err(_)) => return self.no_json(sink),
            },
            YamlValue::Float(number) => match Number::from_f64(*number) {
                Some(number) => number.into(),
                None => return self.no_json(sink),
            },
            YamlValue::List(list) => {
                let items: Vec<_> = list.iter().map(|item| item.json(sink)).collect();
                Value::Array(items.into_iter().collect::<Option<_>>()?)
            }
            YamlValue::Map(map) => {
                let mut object = Map::new();
                let mut is_complete = true;
                for (key, value) in map {
                    let YamlValue::String(name) = &key.value else {
                        sink.add(key.at, Rule::WrongType, || {
                            format!(
                                "a key is {}; expected a string; put it in quotes",
                                key.described()
                            )
                        });
                        is_complete = false;
                        continue;
                    };
                    let value = value.json(sink);
                    is_complete &= value.is_some();
                    if object
                        .insert(name.clone(), value.unwrap_or_default())
                        .is_some()
                    {
                        sink.add(key.at, Rule::DuplicateKey, || {
                            format!(
                                "{} is already set in this map; remove one of them",
                                quoted(name)
                            )
                        });
                        is_complete = false;
                    }
                }
                return is_complete.then_some(Value::Object(object));
            }
        })
    }

    fn no_json(&self, sink: &mut DiagnosticSink) -> Option<Value> {
        sink.add(self.at, Rule::Number, || {
            format!("{} has no JSON form", self.described())
        });
        None
    }

    /// The node at a JSON pointer (RFC 6901).
    pub(super) fn at_pointer(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |node, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match &node.value {
                YamlValue::List(list) => list.get(token.parse::<usize>().ok()?),
                YamlValue::Map(map) => map.iter().find_map(|(key, value)| match &key.value {
                    YamlValue::String(key) if *key == token => Some(value),
                    _ => None,
                }),
                _ => None,
            }
        })
    }
}

/// Parses a text that is one YAML document within the limits.
pub(super) fn read(text: &str) -> Result<Node, Diagnostic> {
    if text.len() > limits::MAX_FILE_BYTES {
        let message = format!(
            "the file has {} bytes; the limit is {} ({} KiB)",
            text.len(),
            limits::MAX_FILE_BYTES,
            limits::MAX_FILE_BYTES / 1024
        );
        return Err(Diagnostic {
            at: Location::START,
            rule: Rule::TooLarge,
            message,
        });
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| parse_error(&error))
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
            // The parser itself rejects a second document, with a clear message.
            max_documents: 2,
            // One anchor may serve a hundred steps. The limits above bound the cost.
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

/// The diagnostic of a parser error. The parser stops at the first.
fn parse_error(error: &Error) -> Diagnostic {
    let mut error = error.without_snippet();
    while let Error::AliasError { error: cause, .. } = error {
        error = cause;
    }
    let at = error.location().map_or(Location::START, to_location);
    let rule = match error {
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Rule::TooComplex,
        _ => Rule::Syntax,
    };
    let message = match rule {
        Rule::TooComplex => format!(
            "the file is nested too deeply, or has too many values or aliases; \
             the limits are {} levels, {} values and {} aliases",
            limits::MAX_YAML_DEPTH,
            limits::MAX_YAML_EVENTS,
            limits::MAX_YAML_ALIASES
        ),
        _ => {
            let detail = error.render_with_formatter(&UserMessageFormatter);
            // The diagnostic already begins with the location.
            let detail = detail
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .replace('\n', " ");
            format!("the file is not a single YAML document: {detail}")
        }
    };
    Diagnostic { at, rule, message }
}

fn to_location(location: serde_saphyr::Location) -> Location {
    Location {
        line: location.line().max(1),
        column: location.column().max(1),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<YamlValue>::deserialize(deserializer)?;
        Ok(Self {
            at: to_location(spanned.defined),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for YamlValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = YamlValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<YamlValue, E> {
        Ok(YamlValue::Null)
    }

    fn visit_none<E>(self) -> Result<YamlValue, E> {
        Ok(YamlValue::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<YamlValue, E> {
        Ok(YamlValue::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<YamlValue, E> {
        Ok(YamlValue::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<YamlValue, E> {
        Ok(YamlValue::Integer(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<YamlValue, E> {
        Ok(YamlValue::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<YamlValue, E> {
        Ok(YamlValue::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<YamlValue, E> {
        Ok(YamlValue::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<YamlValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(YamlValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<YamlValue, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(YamlValue::Map(map))
    }
}
