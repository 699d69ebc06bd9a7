//! The file as a tree of values, each with its place: lenient, so that one mistake does not hide the others.

use super::limits;
use super::mistakes::{Mistake, Place, Rule, quoted};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Options, Spanned, UserMessageFormatter};
use std::fmt;

/// A value and where it is written. What came by an alias has the place of its anchor.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Place,
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

/// Reads the one document of a text, within the limits.
pub(super) fn read(text: &str) -> Result<Node, Mistake> {
    if text.len() > limits::FILE_BYTES {
        let sentence = format!(
            "the file has {} bytes; at most {} ({} KiB) are read",
            text.len(),
            limits::FILE_BYTES,
            limits::FILE_BYTES / 1024
        );
        return Err(Mistake { at: Place::START, rule: Rule::TooLarge, sentence });
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| refused(&error))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: limits::DEPTH,
            max_events: limits::EVENTS,
            max_nodes: limits::EVENTS,
            max_aliases: limits::ALIASES,
            max_anchors: limits::ALIASES,
            max_merge_keys: limits::ALIASES,
            max_recorded_anchor_events: limits::EVENTS,
            max_recorded_anchor_bytes: 4 * limits::FILE_BYTES,
            max_total_scalar_bytes: limits::FILE_BYTES,
            // The second is refused by name, as the parser does it.
            max_documents: 2,
            // One anchor may well serve a hundred steps; the limits above bound what that costs.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: limits::REPLAYED_EVENTS,
            max_replay_stack_depth: limits::DEPTH,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        emit_comments: false,
        with_snippet: false,
    }
}

/// The parser's own refusal: it stops at the first.
fn refused(error: &Error) -> Mistake {
    let mut error = error.without_snippet();
    while let Error::AliasError { error: cause, .. } = error {
        error = cause;
    }
    let at = error.location().map_or(Place::START, place);
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
            limits::DEPTH,
            limits::EVENTS,
            limits::ALIASES
        ),
        _ => {
            let said = error.render_with_formatter(&UserMessageFormatter);
            // The place is told in front already.
            let said = said.split(" at line ").next().unwrap_or_default().replace('\n', " ");
            format!("this is not one YAML document: {said}")
        }
    };
    Mistake { at, rule, sentence }
}

fn place(location: serde_saphyr::Location) -> Place {
    Place { line: location.line().max(1), column: location.column().max(1) }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self { at: place(spanned.defined), value: spanned.value })
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
