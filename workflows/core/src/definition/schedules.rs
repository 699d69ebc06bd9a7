//! Reads timeouts, reminders, retry policies and compensations.

use super::diagnostics::{DiagnosticSink, Location, Rule, quoted};
use super::draft::DraftCompensation;
use super::fields::{self, Fields};
use super::tree::{Node, YamlValue};
use super::{CompensationPolicy, limits};
use saga_protocol::MAX_ERROR_CODE_CHARS;
use saga_protocol::retry::RetryPolicy;
use std::collections::BTreeSet;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) const RETRY_KEYS: &[&str] = &[
    "attempts",
    "first",
    "factor",
    "max",
    "jitter",
    "not_retryable",
];
pub(super) const COMPENSATION_KEYS: &[&str] = &["timeout", "retry"];

/// The timeout of one attempt. It does not exceed the deadline.
pub(super) fn timeout(
    node: Option<&Node>,
    deadline: Option<Duration>,
    sink: &mut DiagnosticSink,
) -> Duration {
    let default = deadline.map_or(TIMEOUT, |deadline| TIMEOUT.min(deadline));
    let Some(node) = node else { return default };
    let Some(timeout) = fields::duration(node, "`timeout`", sink) else {
        return default;
    };
    if let Some(deadline) = deadline.filter(|deadline| timeout > *deadline) {
        sink.add(node.at, Rule::TimeoutOverDeadline, || {
            format!(
                "the timeout {} exceeds the deadline {}; shorten it, or extend the deadline",
                humantime::format_duration(timeout),
                humantime::format_duration(deadline)
            )
        });
    }
    timeout
}

/// When the reminder of a waiting step is published. A step waits for one timeout, so a later reminder would never fire.
pub(super) fn reminder(
    node: &Node,
    timeout: Duration,
    sink: &mut DiagnosticSink,
) -> Option<Duration> {
    let reminder = fields::duration(node, "`reminder`", sink)?;
    if reminder > timeout {
        sink.add(node.at, Rule::ReminderOverTimeout, || {
            format!(
                "the reminder {} exceeds the step's timeout {}; shorten it, or extend the timeout",
                humantime::format_duration(reminder),
                humantime::format_duration(timeout)
            )
        });
    }
    Some(reminder)
}

/// A retry policy with defaults for absent keys, and the location of its `attempts`.
pub(super) fn retry(
    node: &Node,
    default: RetryPolicy,
    sink: &mut DiagnosticSink,
) -> (RetryPolicy, Option<Location>) {
    let Some(fields) = Fields::read(node, "`retry`", RETRY_KEYS, sink) else {
        return (default, None);
    };
    let mut retry = default;
    if let Some(node) = fields.get("attempts") {
        retry.attempts = fields::integer(node, "`attempts`", 1..=limits::MAX_ATTEMPTS, sink)
            .unwrap_or(retry.attempts);
    }
    if let Some(node) = fields.get("first") {
        retry.first = fields::duration(node, "`first`", sink).unwrap_or(retry.first);
    }
    if let Some(node) = fields.get("factor") {
        retry.factor = fields::number(node, "`factor`", 1.0..=limits::MAX_FACTOR, sink)
            .unwrap_or(retry.factor);
    }
    if let Some(node) = fields.get("max") {
        retry.max = fields::duration(node, "`max`", sink).unwrap_or(retry.max);
    }
    if let Some(node) = fields.get("jitter") {
        retry.jitter = fields::number(node, "`jitter`", 0.0..=limits::MAX_JITTER, sink)
            .unwrap_or(retry.jitter);
    }
    if let Some(node) = fields.get("not_retryable") {
        retry.not_retryable = not_retryable(node, sink);
    }
    (retry, fields.get("attempts").map(|node| node.at))
}

/// Whether and how a step is compensated.
pub(super) fn compensation(
    node: Option<&Node>,
    deadline: Option<Duration>,
    sink: &mut DiagnosticSink,
) -> DraftCompensation {
    let default = CompensationPolicy {
        timeout: timeout(None, deadline, sink),
        retry: RetryPolicy::COMPENSATION,
    };
    let Some(node) = node else {
        return DraftCompensation::Default(default);
    };
    match &node.value {
        YamlValue::Bool(true) => DraftCompensation::Declared(default, node.at),
        YamlValue::Bool(false) => DraftCompensation::NoCompensation,
        YamlValue::Map(_) => {
            let Some(fields) = Fields::read(node, "`compensation`", COMPENSATION_KEYS, sink) else {
                return DraftCompensation::Default(default);
            };
            let timeout = timeout(fields.get("timeout"), deadline, sink);
            let retry = fields.get("retry").map_or(default.retry, |node| {
                retry(node, RetryPolicy::COMPENSATION, sink).0
            });
            DraftCompensation::Declared(CompensationPolicy { timeout, retry }, node.at)
        }
        _ => {
            sink.add(node.at, Rule::WrongType, || {
                let expected = "`true`, `false`, or a map with the keys timeout, retry";
                format!(
                    "`compensation` is {}; expected {expected}",
                    node.described()
                )
            });
            DraftCompensation::Default(default)
        }
    }
}

/// Sorted and distinct codes, so that their order in the file does not matter.
fn not_retryable(node: &Node, sink: &mut DiagnosticSink) -> Vec<String> {
    let expected = "a list of error codes, such as `[card_declined]`";
    let Some(list) = fields::list(node, "`not_retryable`", expected, sink) else {
        return Vec::new();
    };
    if list.len() > limits::MAX_NOT_RETRYABLE_CODES {
        sink.add(node.at, Rule::ErrorCode, || {
            format!(
                "there are {} error codes; the limit is {}",
                list.len(),
                limits::MAX_NOT_RETRYABLE_CODES
            )
        });
        return Vec::new();
    }
    let mut codes = BTreeSet::new();
    for item in list {
        let Some(code) = fields::string(item, "an error code", sink) else {
            continue;
        };
        if (1..=MAX_ERROR_CODE_CHARS).contains(&code.chars().count()) && !code.contains('\0') {
            codes.insert(code.to_owned());
        } else {
            sink.add(item.at, Rule::ErrorCode, || {
                let limit = MAX_ERROR_CODE_CHARS;
                format!(
                    "the error code {} is invalid; expected 1 to {limit} characters, without NUL",
                    quoted(code)
                )
            });
        }
    }
    codes.into_iter().collect()
}
