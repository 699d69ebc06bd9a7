//! Reads maps and values out of the tree. What cannot be read is noted, and left out.

use super::diagnostics::{DiagnosticSink, Location, Rule, quoted};
use super::limits;
use super::tree::{Node, Tree};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The known keys of a map, each once.
pub(super) struct Fields<'a> {
    pub(super) at: Location,
    entries: Vec<(&'static str, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// Reads a map with these keys and no others; `what` names it in sentences: `a step`.
    pub(super) fn of(
        node: &'a Node,
        what: &str,
        known: &[&'static str],
        sink: &mut DiagnosticSink,
    ) -> Option<Self> {
        let Tree::Map(map) = &node.value else {
            sink.add(node.at, Rule::WrongType, || {
                format!(
                    "{what} is {}; it is a map with the keys {}",
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
        let mut places: Vec<Location> = Vec::new();
        for (key, value) in map {
            let Tree::Text(text) = &key.value else {
                sink.add(key.at, Rule::WrongType, || {
                    format!(
                        "a key of {what} is {}; the keys of {what} are {}",
                        key.described(),
                        known.join(", ")
                    )
                });
                continue;
            };
            let Some(&name) = known.iter().find(|name| *name == text) else {
                sink.add(key.at, Rule::UnknownKey, || unknown(text, what, known));
                continue;
            };
            match fields.entries.iter().position(|(other, _)| *other == name) {
                Some(first) => sink.add(key.at, Rule::DuplicateKey, || {
                    format!(
                        "`{name}` is already written in line {}; a key is written once",
                        places[first].line
                    )
                }),
                None => {
                    fields.entries.push((name, value));
                    places.push(key.at);
                }
            }
        }
        Some(fields)
    }

    /// Of what is no map.
    pub(super) fn none(at: Location) -> Self {
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

    /// The value of a key that must be there.
    pub(super) fn require(
        &self,
        key: &str,
        what: &str,
        example: &str,
        sink: &mut DiagnosticSink,
    ) -> Option<&'a Node> {
        let node = self.get(key);
        if node.is_none() {
            sink.add(self.at, Rule::MissingKey, || {
                format!("{what} has no `{key}`; write {example}")
            });
        }
        node
    }
}

fn unknown(key: &str, what: &str, known: &[&'static str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("{what} has no key {}; did you mean `{near}`?", quoted(key)),
        None => format!(
            "{what} has no key {}; its keys are {}",
            quoted(key),
            known.join(", ")
        ),
    }
}

/// The candidate that is so near to a text that it was probably meant.
pub(super) fn nearest<'c>(
    text: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    if text.len() > limits::MAX_NAME_CHARS {
        return None;
    }
    candidates
        .map(|candidate| (distance(text, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.to_lowercase().chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let same = usize::from(left[i - 1] != right[j - 1]);
            let mut least = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

fn wrong(node: &Node, what: &str, right: &str, sink: &mut DiagnosticSink) {
    sink.add(node.at, Rule::WrongType, || {
        format!("{what} is {}; {right}", node.described())
    });
}

/// A text.
pub(super) fn text<'a>(node: &'a Node, what: &str, sink: &mut DiagnosticSink) -> Option<&'a str> {
    match &node.value {
        Tree::Text(text) => Some(text),
        Tree::Whole(_) | Tree::Real(_) | Tree::Flag(_) => {
            wrong(node, what, "it is a text: put it in quotes", sink);
            None
        }
        Tree::Nothing | Tree::List(_) | Tree::Map(_) => {
            wrong(node, what, "it is a text", sink);
            None
        }
    }
}

/// A name: `[a-z0-9][a-z0-9-]{0,62}`.
pub(super) fn name<'a>(node: &'a Node, what: &str, sink: &mut DiagnosticSink) -> Option<&'a str> {
    let name = text(node, what, sink)?;
    if is_name(name) {
        return Some(name);
    }
    sink.add(node.at, Rule::Name, || {
        format!(
            "{what} is {}; a name has 1 to {} of a-z, 0-9 and -, and does not begin with -",
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

/// A whole number within limits.
pub(super) fn whole(
    node: &Node,
    what: &str,
    range: RangeInclusive<u32>,
    sink: &mut DiagnosticSink,
) -> Option<u32> {
    let Tree::Whole(number) = node.value else {
        let right = format!("it is a whole number, {} to {}", range.start(), range.end());
        wrong(node, what, &right, sink);
        return None;
    };
    let number = u32::try_from(number)
        .ok()
        .filter(|number| range.contains(number));
    if number.is_none() {
        out_of(node, what, &range, sink);
    }
    number
}

/// A number within limits.
pub(super) fn real(
    node: &Node,
    what: &str,
    range: RangeInclusive<f64>,
    sink: &mut DiagnosticSink,
) -> Option<f64> {
    let number = match node.value {
        Tree::Real(number) => number,
        #[expect(
            clippy::cast_precision_loss,
            reason = "what is too large for an f64 is out of every limit"
        )]
        Tree::Whole(number) => number as f64,
        _ => {
            let right = format!("it is a number, {} to {}", range.start(), range.end());
            wrong(node, what, &right, sink);
            return None;
        }
    };
    if range.contains(&number) {
        return Some(number);
    }
    out_of(node, what, &range, sink);
    None
}

fn out_of<T: Display>(
    node: &Node,
    what: &str,
    range: &RangeInclusive<T>,
    sink: &mut DiagnosticSink,
) {
    sink.add(node.at, Rule::Number, || {
        format!(
            "{what} is {}; it is {} to {}",
            node.described(),
            range.start(),
            range.end()
        )
    });
}

/// `true` or `false`.
pub(super) fn flag(node: &Node, what: &str, sink: &mut DiagnosticSink) -> Option<bool> {
    if let Tree::Flag(flag) = node.value {
        return Some(flag);
    }
    wrong(node, what, "it is `true` or `false`", sink);
    None
}

/// A list.
pub(super) fn list<'a>(
    node: &'a Node,
    what: &str,
    right: &str,
    sink: &mut DiagnosticSink,
) -> Option<&'a [Node]> {
    if let Tree::List(items) = &node.value {
        return Some(items);
    }
    wrong(node, what, right, sink);
    None
}

/// A duration as humantime writes it, within its limits.
pub(super) fn duration(node: &Node, what: &str, sink: &mut DiagnosticSink) -> Option<Duration> {
    let Tree::Text(text) = &node.value else {
        sink.add(node.at, Rule::Duration, || {
            format!(
                "{what} is {}; a duration is a number with a unit, such as 200ms, 30s or 1h 30m",
                node.described()
            )
        });
        return None;
    };
    let Ok(duration) = humantime::parse_duration(text) else {
        sink.add(node.at, Rule::Duration, || {
            format!(
                "{what} is {}; a duration is a number with a unit, such as 200ms, 30s or 1h 30m",
                quoted(text)
            )
        });
        return None;
    };
    if (limits::MIN_DURATION..=limits::MAX_DURATION).contains(&duration) {
        return Some(duration);
    }
    sink.add(node.at, Rule::Duration, || {
        format!("{what} is {}; it is 1ms to 365d", quoted(text))
    });
    None
}
