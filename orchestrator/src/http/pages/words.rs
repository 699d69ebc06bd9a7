//! Moments, durations, statuses and JSON in the form that people read.

use saga_protocol::{Payload, Time};
use std::fmt::Write;
use std::time::Duration;

/// A moment as a page shows it.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// For programs, and on hovering.
    pub iso: String,
    /// For people.
    pub words: String,
}

impl Moment {
    /// How long ago, or in how long.
    pub fn of(at: Time, now: Time) -> Self {
        let words = if at > now {
            format!("in {}", span(at.since(now)))
        } else {
            format!("{} ago", span(now.since(at)))
        };
        Self {
            iso: at.to_string(),
            words,
        }
    }
}

impl Moment {
    /// How long after the start: for what happened in a row.
    pub fn after(started: Time, at: Time) -> Self {
        Self {
            iso: at.to_string(),
            words: format!("+{}", span(at.since(started))),
        }
    }
}

/// Two units at the most: `350 ms`, `1.2 s`, `2 min 5 s`, `3 h 20 min`, `4 d 2 h`.
pub(super) fn span(duration: Duration) -> String {
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{large} {large_unit}")
        } else {
            format!("{large} {large_unit} {small} {small_unit}")
        }
    };
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        seconds @ 3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        seconds => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// A sign that goes with the word, for those who see it sooner than they read.
pub(super) fn icon(status: &str) -> &'static str {
    match status {
        "pending" => "○",
        "running" => "▸",
        "waiting" => "◔",
        "completed" => "✓",
        "failed" => "✕",
        "skipped" => "–",
        "compensating" => "↶",
        "compensated" => "⟲",
        "parked" => "⚠",
        _ => "·",
    }
}

/// JSON over several lines.
pub(super) fn pretty(payload: &Payload) -> String {
    let value: Result<serde_json::Value, _> = payload.decode();
    value.map_or_else(|_| payload.get().to_owned(), |value| pretty_value(&value))
}

pub(super) fn pretty_value(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// The beginning of a long key: a UUIDv7 begins with its time, so that its end tells more.
pub(super) fn short(key: &str) -> String {
    let count = key.chars().count();
    if count <= 24 {
        return key.to_owned();
    }
    let head: String = key.chars().take(8).collect();
    let tail: String = key.chars().skip(count - 12).collect();
    format!("{head}…{tail}")
}

/// A text as the value of a query.
pub(super) fn encode(text: &str) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                write!(encoded, "%{byte:02X}").expect("a String takes everything");
            }
            encoded
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_units_at_the_most() {
        for (milliseconds, words) in [
            (0, "0 ms"),
            (350, "350 ms"),
            (1_240, "1.2 s"),
            (59_999, "59 s"),
            (125_000, "2 min 5 s"),
            (12_000_000, "3 h 20 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(span(Duration::from_millis(milliseconds)), words);
        }
    }

    #[test]
    fn a_query_value_is_encoded() {
        assert_eq!(encode("a b&c=d/ä"), "a%20b%26c%3Dd%2F%C3%A4");
    }
}
