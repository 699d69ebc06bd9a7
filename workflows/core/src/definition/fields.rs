//! Reads typed values from the YAML tree. An invalid value is reported, and then treated as absent.

use super::diagnostics::{DiagnosticSink, Location, Rule, quoted};
use super::limits;
use super::tree::{Node, YamlValue};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The known keys of a map, each once.
pub(super) struct Fields<'a> {
    pub(super) at: Location,
    entries: Vec<(&'static str, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// Reads a map that may only have these keys; `subject` names it in messages, such as `a step`.
    pub(super) fn read(
        node: &'a Node,
        subject: &str,
        known: &[&'static str],
        sink: &mut DiagnosticSink,
    ) -> Option<Self> {
        let YamlValue::Map(map) = &node.value else {
            sink.add(node.at, Rule::WrongType, || {
                format!(
                    "{subject} is {}; expected a map with the keys {}",
                    node.described(),
                    known.join(", ")
                )
            });
            return None;
        };
        let mut fields = Self {
            at: node.at,
            entries: Vec::new(),
        };
        // The location of each entry's key, by index.
        let mut locations: Vec<Location> = Vec::new();

        for (key, value) in map {
            let YamlValue::String(text) = &key.value else {
                sink.add(key.at, Rule::WrongType, || {
                    format!(
                        "a key of {subject} is {}; the keys of {subject} are {}",
                        key.described(),
                        known.join(", ")
                    )
                });
                continue;
            };
            let Some(&name) = known.iter().find(|name| *name == text) else {
                sink.add(key.at, Rule::UnknownKey, || {
                    unknown_key_message(text, subject, known)
                });
                continue;
            };

            // The first of duplicate keys is kept, so that the checks of its value still run.
            match fields.entries.iter().position(|(other, _)| *other == name) {
                Some(first) => sink.add(key.at, Rule::DuplicateKey, || {
                    format!(
                        "`{name}` is already set in line {}; remove one of them",
                        locations[first].line
                    )
                }),
                None => {
                    fields.entries.push((name, value));
                    locations.push(key.at);
                }
            }
        }
        Some(fields)
    }

    /// The fields of a value that is not a map.
    pub(super) fn empty(at: Location) -> Self {
        Self {
            at,
            entries: Vec::new(),
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, node)| *node)
    }

    /// The value of a required key.
    pub(super) fn require(
        &self,
        key: &str,
        subject: &str,
        example: &str,
        sink: &mut DiagnosticSink,
    ) -> Option<&'a Node> {
        let node = self.get(key);
        if node.is_none() {
            sink.add(self.at, Rule::MissingKey, || {
                format!("{subject} has no `{key}`; write {example}")
            });
        }
        node
    }
}

fn unknown_key_message(key: &str, subject: &str, known: &[&'static str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(near) => format!(
            "{subject} has no key {}; did you mean `{near}`?",
            quoted(key)
        ),
        None => format!(
            "{subject} has no key {}; its keys are {}",
            quoted(key),
            known.join(", ")
        ),
    }
}

/// The candidate that a misspelled text most likely stands for.
pub(super) fn nearest<'c>(
    text: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    // The distance takes quadratic time, so only texts of a name's length are compared.
    if text.len() > limits::MAX_NAME_CHARS {
        return None;
    }
    candidates
        .map(|candidate| (distance(text, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.to_lowercase().chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let substitution = usize::from(left[i - 1] != right[j - 1]);
            let mut distance = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + substitution);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                distance = distance.min(rows[i - 2][j - 2] + 1);
            }
            row.push(distance);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

fn add_wrong_type(node: &Node, subject: &str, expected: &str, sink: &mut DiagnosticSink) {
    sink.add(node.at, Rule::WrongType, || {
        format!("{subject} is {}; expected {expected}", node.described())
    });
}

/// A string.
pub(super) fn string<'a>(
    node: &'a Node,
    subject: &str,
    sink: &mut DiagnosticSink,
) -> Option<&'a str> {
    match &node.value {
        YamlValue::String(text) => Some(text),
        YamlValue::Integer(_) | YamlValue::Float(_) | YamlValue::Bool(_) => {
            add_wrong_type(node, subject, "a string; put it in quotes", sink);
            None
        }
        YamlValue::Null | YamlValue::List(_) | YamlValue::Map(_) => {
            add_wrong_type(node, subject, "a string", sink);
            None
        }
    }
}

/// A name: `[a-z0-9][a-z0-9-]{0,62}`.
pub(super) fn name<'a>(
    node: &'a Node,
    subject: &str,
    sink: &mut DiagnosticSink,
) -> Option<&'a str> {
    let name = string(node, subject, sink)?;
    if is_name(name) {
        return Some(name);
    }
    sink.add(node.at, Rule::Name, || {
        format!(
            "{subject} is {}; a name has 1 to {} characters of a-z, 0-9 and -, and does not start with -",
            quoted(name),
            limits::MAX_NAME_CHARS
        )
    });
    None
}

/// Whether a text is a name.
pub(super) fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=limits::MAX_NAME_CHARS).contains(&text.len())
        && is_letter(text.as_bytes()[0])
        && text.bytes().all(|byte| is_letter(byte) || byte == b'-')
}

/// An integer within a range.
pub(super) fn integer(
    node: &Node,
    subject: &str,
    range: RangeInclusive<u32>,
    sink: &mut DiagnosticSink,
) -> Option<u32> {
    let YamlValue::Integer(number) = node.value else {
        let expected = format!("an integer from {} to {}", range.start(), range.end());
        add_wrong_type(node, subject, &expected, sink);
        return None;
    };
    let number = u32::try_from(number)
        .ok()
        .filter(|number| range.contains(number));
    if number.is_none() {
        add_out_of_range(node, subject, &range, sink);
    }
    number
}

/// A number within a range.
pub(super) fn number(
    node: &Node,
    subject: &str,
    range: RangeInclusive<f64>,
    sink: &mut DiagnosticSink,
) -> Option<f64> {
    let number = match node.value {
        YamlValue::Float(number) => number,
        #[expect(
            clippy::cast_precision_loss,
            reason = "an integer that an f64 cannot represent exactly is outside every range"
        )]
        YamlValue::Integer(number) => number as f64,
        _ => {
            let expected = format!("a number from {} to {}", range.start(), range.end());
            add_wrong_type(node, subject, &expected, sink);
            return None;
        }
    };
    if range.contains(&number) {
        return Some(number);
    }
    add_out_of_range(node, subject, &range, sink);
    None
}

fn add_out_of_range<T: Display>(
    node: &Node,
    subject: &str,
    range: &RangeInclusive<T>,
    sink: &mut DiagnosticSink,
) {
    sink.add(node.at, Rule::Number, || {
        format!(
            "{subject} is {}; expected {} to {}",
            node.described(),
            range.start(),
            range.end()
        )
    });
}

/// `true` or `false`.
pub(super) fn boolean(node: &Node, subject: &str, sink: &mut DiagnosticSink) -> Option<bool> {
    if let YamlValue::Bool(flag) = node.value {
        return Some(flag);
    }
    add_wrong_type(node, subject, "`true` or `false`", sink);
    None
}

/// A list.
pub(super) fn list<'a>(
    node: &'a Node,
    subject: &str,
    expected: &str,
    sink: &mut DiagnosticSink,
) -> Option<&'a [Node]> {
    if let YamlValue::List(items) = &node.value {
        return Some(items);
    }
    add_wrong_type(node, subject, expected, sink);
    None
}

/// A duration in the notation of humantime, within the limits.
pub(super) fn duration(node: &Node, subject: &str, sink: &mut DiagnosticSink) -> Option<Duration> {
    let YamlValue::String(text) = &node.value else {
        sink.add(node.at, Rule::Duration, || {
            format!(
                "{subject} is {}; expected a number with a unit, such as 200ms, 30s or 1h 30m",
                node.described()
            )
        });
        return None;
    };
    let Ok(duration) = humantime::parse_duration(text) else {
        sink.add(node.at, Rule::Duration, || {
            format!(
                "{subject} is {}; expected a number with a unit, such as 200ms, 30s or 1h 30m",
                quoted(text)
            )
        });
        return None;
    };
    if (limits::MIN_DURATION..=limits::MAX_DURATION).contains(&duration) {
        return Some(duration);
    }
    sink.add(node.at, Rule::Duration, || {
        format!("{subject} is {}; expected 1ms to 365d", quoted(text))
    });
    None
}
