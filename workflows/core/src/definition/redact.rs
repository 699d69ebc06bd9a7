//! Sensitive values are stored and sent to workers, and shown as `•••` everywhere else.

use super::{Definition, fields, limits};
use saga_protocol::Payload;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt::{self, Write};

/// What stands in a sensitive value's place.
pub const MASK: &str = "•••";

/// Which payload it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadSource<'a> {
    /// What the saga was started with.
    Input,
    /// The output of the step with that name: of its action, or of its compensation.
    Output(&'a str),
}

/// The payload as it may be shown: what the definition's sensitive paths name is masked, whatever it is, within arrays
/// in every element. Everything else keeps its bytes and its order.
pub fn redact(definition: &Definition, source: PayloadSource<'_>, payload: &Payload) -> Payload {
    let paths: Vec<Vec<&str>> = definition
        .sensitive
        .iter()
        .filter_map(|path| beneath(path, source))
        .collect();
    if paths.is_empty() {
        return payload.clone();
    }
    let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
    let mut text = String::with_capacity(payload.get().len());
    mask(payload.get(), &paths, LEVELS, &mut text);
    Payload::parse(text).unwrap_or_else(|_| Payload::from(serde_json::Value::from(MASK)))
}

/// The fields of a path within that payload, if the path is about it.
fn beneath<'p>(path: &'p str, source: PayloadSource<'_>) -> Option<Vec<&'p str>> {
    let mut segments = path.split('.');
    let about = match source {
        PayloadSource::Input => segments.next() == Some("input"),
        PayloadSource::Output(step) => {
            segments.next() == Some("steps") && segments.next() == Some(step)
        }
    };
    about.then(|| segments.collect())
}

/// Objects and arrays within each other that are looked into: what serde_json reads at the most. Anything deeper that a
/// path may be about is masked as a whole.
const LEVELS: usize = 128;

/// Writes a value with the paths masked.
fn mask(raw: &str, paths: &[&[&str]], levels: usize, out: &mut String) {
    if paths.iter().any(|path| path.is_empty()) || (levels == 0 && !paths.is_empty()) {
        quote(MASK, out);
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
            quote(key, out);
            out.push(':');
            let deeper: Vec<&[&str]> = paths
                .iter()
                .filter(|path| path[0] == key)
                .map(|path| &path[1..])
                .collect();
            mask(value.get(), &deeper, levels - 1, out);
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
            mask(item.get(), paths, levels - 1, out);
        }
        out.push(']');
    } else {
        out.push_str(raw);
    }
}

fn quote(text: &str, out: &mut String) {
    write!(out, "{}", serde_json::Value::from(text)).expect("a String takes any text");
}

/// An object in its own order, its values untouched.
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

/// Checks a path of `sensitive`; the error goes on from "the path … ".
pub(super) fn check(path: &str, is_step: impl Fn(&str) -> bool) -> Result<(), String> {
    const RIGHT: &str = "a path is such as `input.payment.token` or `steps.pay.receipt`";
    if path.chars().count() > limits::MAX_SENSITIVE_PATH_CHARS {
        return Err(format!(
            "is longer than {} characters",
            limits::MAX_SENSITIVE_PATH_CHARS
        ));
    }
    let segments: Vec<&str> = path.split('.').collect();
    let is_field = |segment: &&str| {
        !segment.is_empty()
            && !segment.contains(|letter: char| letter.is_whitespace() || letter.is_control())
    };
    if !segments.iter().all(is_field) {
        return Err(format!("has an empty field, or a space in one; {RIGHT}"));
    }
    match segments.as_slice() {
        ["input", _, ..] => Ok(()),
        ["steps", name, _, ..] if !fields::is_name(name) => Err(format!("names no step; {RIGHT}")),
        ["steps", name, _, ..] if !is_step(name) => {
            Err(format!("names the step `{name}`, which does not exist"))
        }
        ["steps", _, _, ..] => Ok(()),
        ["input" | "steps", ..] => Err(format!("ends too early; {RIGHT}")),
        _ => Err(format!(
            "begins neither with `input.` nor with `steps.`; {RIGHT}"
        )),
    }
}
