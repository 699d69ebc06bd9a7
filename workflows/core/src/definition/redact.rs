//! Redacts sensitive values: they are stored and sent to workers, and shown as `•••` everywhere else.

use super::{Definition, fields, limits};
use saga_protocol::Payload;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt::{self, Write};

/// The replacement of a sensitive value.
pub const MASK: &str = "•••";

/// The origin of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadSource<'a> {
    /// The input of the saga.
    Input,
    /// The output of the named step: of its action, or of its compensation.
    Output(&'a str),
}

/// Masks the values at the definition's sensitive paths, of any type; in an array, those of every element. Everything
/// else keeps its bytes and its order.
pub fn redact(definition: &Definition, source: PayloadSource<'_>, payload: &Payload) -> Payload {
    let paths: Vec<Vec<&str>> = definition
        .sensitive
        .iter()
        .filter_map(|path| fields_within(path, source))
        .collect();
    if paths.is_empty() {
        return payload.clone();
    }
    let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
    let mut text = String::with_capacity(payload.get().len());
    mask(payload.get(), &paths, MAX_DEPTH, &mut text);
    Payload::parse(text).unwrap_or_else(|_| Payload::from(serde_json::Value::from(MASK)))
}

/// The fields of a path within a payload of that source, if the path applies to it.
fn fields_within<'p>(path: &'p str, source: PayloadSource<'_>) -> Option<Vec<&'p str>> {
    let mut segments = path.split('.');
    let applies = match source {
        PayloadSource::Input => segments.next() == Some("input"),
        PayloadSource::Output(step) => {
            segments.next() == Some("steps") && segments.next() == Some(step)
        }
    };
    applies.then(|| segments.collect())
}

/// The nesting limit of serde_json. A deeper value that a path may apply to is masked as a whole.
const MAX_DEPTH: usize = 128;

/// Writes a value with the paths masked.
fn mask(raw: &str, paths: &[&[&str]], depth: usize, out: &mut String) {
    if paths.iter().any(|path| path.is_empty()) || (depth == 0 && !paths.is_empty()) {
        write_string(MASK, out);
        return;
    }
    if paths.is_empty() {
        out.push_str(raw);
        return;
    }
    if raw.starts_with('{')
        && let Ok(Object(entries)) = serde_json::from_str::<Object<'_>>(raw)
    {
        out.push('{');
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_string(key, out);
            out.push(':');
            let deeper: Vec<&[&str]> = paths
                .iter()
                .filter(|path| path[0] == key)
                .map(|path| &path[1..])
                .collect();
            mask(value.get(), &deeper, depth - 1, out);
        }
        out.push('}');
    } else if raw.starts_with('[')
        && let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw)
    {
        out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            mask(item.get(), paths, depth - 1, out);
        }
        out.push(']');
    } else {
        out.push_str(raw);
    }
}

fn write_string(text: &str, out: &mut String) {
    write!(out, "{}", serde_json::Value::from(text)).expect("writing to a String cannot fail");
}

/// An object whose entries keep their order and their bytes.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Checks a path of `sensitive`. The error continues the sentence "the path … ".
pub(super) fn check(path: &str, is_step: impl Fn(&str) -> bool) -> Result<(), String> {
    const EXPECTED: &str = "expected a path such as `input.payment.token` or `steps.pay.receipt`";
    if path.chars().count() > limits::MAX_SENSITIVE_PATH_CHARS {
        return Err(format!(
            "exceeds the limit of {} characters",
            limits::MAX_SENSITIVE_PATH_CHARS
        ));
    }
    let segments: Vec<&str> = path.split('.').collect();
    let is_field = |segment: &&str| {
        !segment.is_empty()
            && !segment.contains(|letter: char| letter.is_whitespace() || letter.is_control())
    };
    if !segments.iter().all(is_field) {
        return Err(format!(
            "has an empty field, or a field with white space; {EXPECTED}"
        ));
    }
    match segments.as_slice() {
        ["input", _, ..] => Ok(()),
        ["steps", name, _, ..] if !fields::is_name(name) => {
            Err(format!("has an invalid step name; {EXPECTED}"))
        }
        ["steps", name, _, ..] if !is_step(name) => Err(format!("names the unknown step `{name}`")),
        ["steps", _, _, ..] => Ok(()),
        ["input" | "steps", ..] => Err(format!("is incomplete; {EXPECTED}")),
        _ => Err(format!(
            "starts with neither `input.` nor `steps.`; {EXPECTED}"
        )),
    }
}
