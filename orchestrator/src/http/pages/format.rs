//! Times, JSON and keys as the pages show them.

use crate::api::format_duration;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use saga_protocol::{Payload, Time};
use serde_json::Value;

/// Keys up to this length are shown in full.
const MAX_KEY_CHARS: usize = 24;

/// All but the unreserved characters (RFC 3986, section 2.3).
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A time as a page shows it.
#[derive(Clone, Debug)]
pub(super) struct Timestamp {
    /// RFC 3339.
    pub iso: String,
    /// The text.
    pub text: String,
}

impl Timestamp {
    /// Relative to now: `5 s ago`, `in 2 h`.
    pub fn relative(at: Time, now: Time) -> Self {
        let text = if at > now {
            format!("in {}", format_duration(at.since(now)))
        } else {
            format!("{} ago", format_duration(now.since(at)))
        };

        Self {
            iso: at.to_string(),
            text,
        }
    }

    /// Relative to an earlier time: `+5 s`.
    pub fn offset(start: Time, at: Time) -> Self {
        Self {
            iso: at.to_string(),
            text: format!("+{}", format_duration(at.since(start))),
        }
    }
}

/// Formats a payload as indented JSON.
pub(super) fn pretty_payload(payload: &Payload) -> String {
    let value: Result<Value, _> = payload.decode();
    value.map_or_else(|_| payload.get().to_owned(), |value| pretty_json(&value))
}

/// Formats a value as indented JSON.
pub(super) fn pretty_json(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// Abbreviates a long key. The end is kept, because UUIDv7s of the same time have the same beginning.
pub(super) fn abbreviate(key: &str) -> String {
    let count = key.chars().count();
    if count <= MAX_KEY_CHARS {
        return key.to_owned();
    }

    let head: String = key.chars().take(8).collect();
    let tail: String = key.chars().skip(count - 12).collect();
    format!("{head}…{tail}")
}

/// Encodes a value of a query.
pub(super) fn encode_query_value(text: &str) -> String {
    utf8_percent_encode(text, QUERY_VALUE).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_value_is_percent_encoded() {
        assert_eq!(encode_query_value("a b&c=d/ä"), "a%20b%26c%3Dd%2F%C3%A4");
    }

    #[test]
    fn long_key_keeps_its_ends() {
        assert_eq!(abbreviate("table-7"), "table-7");
        assert_eq!(
            abbreviate("0198c0de-0000-7000-8000-000000000001"),
            "0198c0de…000000000001"
        );
    }
}
