//! What a schema may hold: few schemas in all, its references written out, and nothing that leads out of it.

use crate::definition::diagnostics::{DiagnosticSink, Location, Rule, quoted};
use crate::definition::limits;
use crate::definition::tree::{Node, Tree};
use serde_json::Value;
use std::collections::BTreeMap;

/// The one dialect that is read.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Keywords with a schema,
const ONE: &[&str] = &[
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// with a list of schemas,
const LIST: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
/// and with a map of schemas.
const MAP: &[&str] = &[
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// Keywords by which a schema is found from elsewhere, or finds others.
const BEYOND: &[&str] = &[
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];

/// A schema within a schema.
struct Part {
    at: Location,
    /// What it holds.
    parts: Vec<usize>,
    /// Where its `$ref` leads, and where that is written.
    reference: Option<(String, Location)>,
    /// How many schemas it is with its references written out, and how deep; none as long as that is being counted.
    size: Option<(usize, usize)>,
}

/// All schemas of one, and what is wrong with them.
struct Walk<'f> {
    what: &'f str,
    parts: Vec<Part>,
    by_pointer: BTreeMap<String, usize>,
    patterns: usize,
    sound: bool,
    sink: &'f mut DiagnosticSink,
}

/// The schema as JSON, if it obeys every rule but those of JSON Schema itself.
pub(super) fn inspect(node: &Node, what: &str, sink: &mut DiagnosticSink) -> Option<Value> {
    let value = node.json(sink)?;
    let bytes = value.to_string().len();
    let mut walk = Walk {
        what,
        parts: Vec::new(),
        by_pointer: BTreeMap::new(),
        patterns: 0,
        sound: true,
        sink: &mut *sink,
    };
    if bytes > limits::MAX_SCHEMA_BYTES {
        let most = limits::MAX_SCHEMA_BYTES;
        walk.add(
            node.at,
            Rule::SchemaTooLarge,
            format!("has {bytes} bytes; at most {most} are read"),
        );
        return None;
    }
    walk.schema(node, String::new());
    let (parts, patterns) = (walk.parts.len(), walk.patterns);
    if parts > limits::MAX_SUBSCHEMAS || patterns > limits::MAX_SCHEMA_PATTERNS {
        walk.too_large(node.at);
    } else {
        walk.references();
        walk.count(0, &mut BTreeMap::new());
        let (size, depth) = walk.parts[0].size.unwrap_or_default();
        if size > limits::MAX_SUBSCHEMAS || depth > limits::MAX_SCHEMA_DEPTH {
            walk.too_large(node.at);
        }
    }
    walk.sound.then_some(value)
}

impl Walk<'_> {
    fn add(&mut self, at: Location, rule: Rule, sentence: String) {
        self.sound = false;
        let what = self.what;
        self.sink.add(at, rule, || format!("{what} {sentence}"));
    }

    fn too_large(&mut self, at: Location) {
        let (parts, depth, patterns) = (
            limits::MAX_SUBSCHEMAS,
            limits::MAX_SCHEMA_DEPTH,
            limits::MAX_SCHEMA_PATTERNS,
        );
        let sentence = format!(
            "is too large: at most {parts} schemas with every reference written out, {depth} within each other, and \
             {patterns} regular expressions are read"
        );
        self.add(at, Rule::SchemaTooLarge, sentence);
    }

    /// Notes a schema and those in it; how deep the file nests bounds the recursion.
    fn schema(&mut self, node: &Node, pointer: String) -> usize {
        let index = self.parts.len();
        self.parts.push(Part {
            at: node.at,
            parts: Vec::new(),
            reference: None,
            size: None,
        });
        if let Tree::Map(map) = &node.value {
            for (key, value) in map {
                if let Tree::Text(key_text) = &key.value {
                    self.keyword(
                        index,
                        (key.at, key_text),
                        value,
                        &format!("{pointer}/{}", escaped(key_text)),
                    );
                }
            }
        }
        self.by_pointer.insert(pointer, index);
        index
    }

    fn keyword(&mut self, of: usize, (at, key): (Location, &str), value: &Node, pointer: &str) {
        let mut inner: Vec<(&Node, String)> = Vec::new();
        match (&value.value, key) {
            (Tree::Text(target), "$ref") => self.reference(of, target, value.at),
            (Tree::Text(dialect), "$schema") if dialect.trim_end_matches('#') != DIALECT => {
                let dialect = quoted(dialect);
                let sentence = format!("is of the dialect {dialect}; only {DIALECT} is read");
                self.add(value.at, Rule::SchemaReference, sentence);
            }
            (_, key) if BEYOND.contains(&key) => {
                let sentence = format!(
                    "has the keyword `{key}`, which is not read: write `$ref: '#/$defs/…'`"
                );
                self.add(at, Rule::SchemaReference, sentence);
            }
            (_, "pattern") => self.patterns += 1,
            (_, key) if ONE.contains(&key) => inner.push((value, pointer.to_owned())),
            (Tree::List(list), key) if LIST.contains(&key) => {
                inner.extend(
                    list.iter()
                        .enumerate()
                        .map(|(n, node)| (node, format!("{pointer}/{n}"))),
                );
            }
            (Tree::Map(map), key) if MAP.contains(&key) => {
                self.patterns += if key == "patternProperties" {
                    map.len()
                } else {
                    0
                };
                inner.extend(map.iter().filter_map(|(name, node)| match &name.value {
                    Tree::Text(name) => Some((node, format!("{pointer}/{}", escaped(name)))),
                    _ => None,
                }));
            }
            _ => {}
        }
        for (node, pointer) in inner {
            let part = self.schema(node, pointer);
            // What is only defined counts where it is referred to.
            if key != "$defs" && key != "definitions" {
                self.parts[of].parts.push(part);
            }
        }
    }

    fn reference(&mut self, of: usize, target: &str, at: Location) {
        match target.strip_prefix('#') {
            Some(pointer) => self.parts[of].reference = Some((pointer.to_owned(), at)),
            None => {
                let target = quoted(target);
                let sentence = format!(
                    "refers to {target}; a reference leads to a place in the same schema, such as `#/$defs/money`: \
                     files and addresses are not read"
                );
                self.add(at, Rule::SchemaReference, sentence);
            }
        }
    }

    /// Resolves the references: each is one more part of the schema that it stands in.
    fn references(&mut self) {
        for index in 0..self.parts.len() {
            let Some((pointer, at)) = self.parts[index].reference.clone() else {
                continue;
            };
            match self.by_pointer.get(&pointer) {
                Some(target) => self.parts[index].parts.push(*target),
                None => {
                    let target = quoted(&format!("#{pointer}"));
                    self.add(
                        at,
                        Rule::SchemaReference,
                        format!("refers to {target}, where there is no schema"),
                    );
                }
            }
        }
    }

    /// How large a schema is with its references written out. As deep as there are schemas.
    fn count(&mut self, index: usize, under_way: &mut BTreeMap<usize, ()>) -> (usize, usize) {
        if let Some(size) = self.parts[index].size {
            return size;
        }
        if under_way.insert(index, ()).is_some() {
            let at = self.parts[index]
                .reference
                .as_ref()
                .map_or(self.parts[index].at, |(_, at)| *at);
            self.add(
                at,
                Rule::SchemaReference,
                "refers to itself in a circle; write it out, as deep as it goes".into(),
            );
            return (1, 1);
        }
        let mut size = (1_usize, 0);
        for part in self.parts[index].parts.clone() {
            let (parts, depth) = self.count(part, under_way);
            size = (size.0.saturating_add(parts), size.1.max(depth));
        }
        under_way.remove(&index);
        let size = (size.0, size.1 + 1);
        self.parts[index].size = Some(size);
        size
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
