//! Checks the limits of a schema: its size with all references expanded, and no reference out of it.

use crate::definition::diagnostics::{DiagnosticSink, Location, Rule, quoted};
use crate::definition::limits;
use crate::definition::tree::{Node, YamlValue};
use serde_json::Value;
use std::collections::BTreeMap;

/// The only supported dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Keywords whose value is a schema.
const SCHEMA_KEYWORDS: &[&str] = &[
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
/// Keywords whose value is a list of schemas.
const LIST_KEYWORDS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is a map of schemas.
const MAP_KEYWORDS: &[&str] = &[
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// Keywords that identify a schema to others, or refer to others.
const UNSUPPORTED_KEYWORDS: &[&str] = &[
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];

/// A schema within a schema.
struct Subschema {
    at: Location,
    /// The indexes of the schemas directly within it, and of those that it refers to.
    parts: Vec<usize>,
    /// The target of its `$ref`, and the location of the reference.
    reference: Option<(String, Location)>,
    /// The number of schemas and the depth with references expanded. `None` until they are computed.
    size: Option<(usize, usize)>,
}

/// Collects the subschemas of a schema, and reports errors.
struct Inspector<'f> {
    subject: &'f str,
    parts: Vec<Subschema>,
    by_pointer: BTreeMap<String, usize>,
    patterns: usize,
    is_valid: bool,
    sink: &'f mut DiagnosticSink,
}

/// The schema as JSON, if it is within the limits. Whether it is a valid JSON Schema is not checked.
pub(super) fn inspect(node: &Node, subject: &str, sink: &mut DiagnosticSink) -> Option<Value> {
    let value = node.json(sink)?;
    let bytes = value.to_string().len();
    let mut inspector = Inspector {
        subject,
        parts: Vec::new(),
        by_pointer: BTreeMap::new(),
        patterns: 0,
        is_valid: true,
        sink: &mut *sink,
    };
    if bytes > limits::MAX_SCHEMA_BYTES {
        let limit = limits::MAX_SCHEMA_BYTES;
        inspector.add(
            node.at,
            Rule::SchemaTooLarge,
            format!("has {bytes} bytes; the limit is {limit}"),
        );
        return None;
    }
    inspector.schema(node, String::new());
    let parts = inspector.parts.len();
    let patterns = inspector.patterns;
    if parts > limits::MAX_SUBSCHEMAS || patterns > limits::MAX_SCHEMA_PATTERNS {
        inspector.too_large(node.at);
    } else {
        inspector.references();
        inspector.count(0, &mut BTreeMap::new());
        let (size, depth) = inspector.parts[0].size.unwrap_or_default();
        if size > limits::MAX_SUBSCHEMAS || depth > limits::MAX_SCHEMA_DEPTH {
            inspector.too_large(node.at);
        }
    }
    inspector.is_valid.then_some(value)
}

impl Inspector<'_> {
    fn add(&mut self, at: Location, rule: Rule, message: String) {
        self.is_valid = false;
        let subject = self.subject;
        self.sink.add(at, rule, || format!("{subject} {message}"));
    }

    fn too_large(&mut self, at: Location) {
        let parts = limits::MAX_SUBSCHEMAS;
        let depth = limits::MAX_SCHEMA_DEPTH;
        let patterns = limits::MAX_SCHEMA_PATTERNS;
        let message = format!(
            "is too large; the limits are {parts} schemas with every reference expanded, a depth of {depth}, and \
             {patterns} regular expressions"
        );
        self.add(at, Rule::SchemaTooLarge, message);
    }

    /// Adds a schema and its subschemas. The nesting limit of the file bounds the recursion.
    fn schema(&mut self, node: &Node, pointer: String) -> usize {
        let index = self.parts.len();
        self.parts.push(Subschema {
            at: node.at,
            parts: Vec::new(),
            reference: None,
            size: None,
        });
        if let YamlValue::Map(map) = &node.value {
            for (key, value) in map {
                if let YamlValue::String(key_text) = &key.value {
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

    fn keyword(&mut self, parent: usize, (at, key): (Location, &str), value: &Node, pointer: &str) {
        let mut inner: Vec<(&Node, String)> = Vec::new();
        match (&value.value, key) {
            (YamlValue::String(target), "$ref") => self.reference(parent, target, value.at),
            (YamlValue::String(dialect), "$schema") if dialect.trim_end_matches('#') != DIALECT => {
                let dialect = quoted(dialect);
                let message =
                    format!("has the dialect {dialect}; the only supported one is {DIALECT}");
                self.add(value.at, Rule::SchemaReference, message);
            }
            (_, key) if UNSUPPORTED_KEYWORDS.contains(&key) => {
                let message =
                    format!("has the unsupported keyword `{key}`; write `$ref: '#/$defs/…'`");
                self.add(at, Rule::SchemaReference, message);
            }
            (_, "pattern") => self.patterns += 1,
            (_, key) if SCHEMA_KEYWORDS.contains(&key) => inner.push((value, pointer.to_owned())),
            (YamlValue::List(list), key) if LIST_KEYWORDS.contains(&key) => {
                inner.extend(
                    list.iter()
                        .enumerate()
                        .map(|(n, node)| (node, format!("{pointer}/{n}"))),
                );
            }
            (YamlValue::Map(map), key) if MAP_KEYWORDS.contains(&key) => {
                self.patterns += if key == "patternProperties" {
                    map.len()
                } else {
                    0
                };
                inner.extend(map.iter().filter_map(|(name, node)| match &name.value {
                    YamlValue::String(name) => Some((node, format!("{pointer}/{}", escaped(name)))),
                    _ => None,
                }));
            }
            _ => {}
        }
        for (node, pointer) in inner {
            let part = self.schema(node, pointer);
            // A definition counts where a reference uses it.
            if key != "$defs" && key != "definitions" {
                self.parts[parent].parts.push(part);
            }
        }
    }

    fn reference(&mut self, parent: usize, target: &str, at: Location) {
        match target.strip_prefix('#') {
            Some(pointer) => self.parts[parent].reference = Some((pointer.to_owned(), at)),
            None => {
                let target = quoted(target);
                let message = format!(
                    "refers to {target}; a reference stays in the same schema, such as `#/$defs/money`; \
                     files and URLs are not supported"
                );
                self.add(at, Rule::SchemaReference, message);
            }
        }
    }

    /// Resolves the references: the target of each counts as a subschema of the schema that contains it.
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

    /// The number of schemas and the depth with references expanded. The recursion is at most as deep as there are schemas.
    fn count(&mut self, index: usize, visiting: &mut BTreeMap<usize, ()>) -> (usize, usize) {
        if let Some(size) = self.parts[index].size {
            return size;
        }
        if visiting.insert(index, ()).is_some() {
            let at = self.parts[index]
                .reference
                .as_ref()
                .map_or(self.parts[index].at, |(_, at)| *at);
            self.add(
                at,
                Rule::SchemaReference,
                "refers to itself; write out the levels that are needed".into(),
            );
            return (1, 1);
        }
        let mut size = (1_usize, 0);
        for part in self.parts[index].parts.clone() {
            let (parts, depth) = self.count(part, visiting);
            size = (size.0.saturating_add(parts), size.1.max(depth));
        }
        visiting.remove(&index);
        let size = (size.0, size.1 + 1);
        self.parts[index].size = Some(size);
        size
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
