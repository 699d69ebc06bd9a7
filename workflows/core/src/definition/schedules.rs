//! Reads when attempts end, when others follow, and how a step is undone.

use super::diagnostics::{DiagnosticSink, Location, Rule, quoted};
use super::draft::DraftCompensation;
use super::fields::{self, Fields};
use super::tree::{Node, Tree};
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

/// How long one attempt may take: never longer than the deadline.
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
                "the timeout {} is over the deadline {}; make it shorter, or the deadline longer",
                humantime::format_duration(timeout),
                humantime::format_duration(deadline)
            )
        });
    }
    timeout
}

/// After how long a waiting step is told of: it waits for one timeout, so later would be never.
pub(super) fn reminder(
    node: &Node,
    timeout: Duration,
    sink: &mut DiagnosticSink,
) -> Option<Duration> {
    let reminder = fields::duration(node, "`reminder`", sink)?;
    if reminder > timeout {
        sink.add(node.at, Rule::ReminderOverTimeout, || {
            format!(
                "the reminder {} is over the step's timeout {}; make it shorter, or the timeout longer",
                humantime::format_duration(reminder),
                humantime::format_duration(timeout)
            )
        });
    }
    Some(reminder)
}

/// A schedule, what is not written taken from the default; and where its attempts are written.
pub(super) fn retry(
    node: &Node,
    default: RetryPolicy,
    sink: &mut DiagnosticSink,
) -> (RetryPolicy, Option<Location>) {
    let Some(fields) = Fields::of(node, "`retry`", RETRY_KEYS, sink) else {
        return (default, None);
    };
    let mut retry = default;
    if let Some(node) = fields.get("attempts") {
        retry.attempts = fields::whole(node, "`attempts`", 1..=limits::MAX_ATTEMPTS, sink)
            .unwrap_or(retry.attempts);
    }
    if let Some(node) = fields.get("first") {
        retry.first = fields::duration(node, "`first`", sink).unwrap_or(retry.first);
    }
    if let Some(node) = fields.get("factor") {
        retry.factor =
            fields::real(node, "`factor`", 1.0..=limits::MAX_FACTOR, sink).unwrap_or(retry.factor);
    }
    if let Some(node) = fields.get("max") {
        retry.max = fields::duration(node, "`max`", sink).unwrap_or(retry.max);
    }
    if let Some(node) = fields.get("jitter") {
        retry.jitter =
            fields::real(node, "`jitter`", 0.0..=limits::MAX_JITTER, sink).unwrap_or(retry.jitter);
    }
    if let Some(node) = fields.get("not_retryable") {
        retry.not_retryable = not_retryable(node, sink);
    }
    (retry, fields.get("attempts").map(|node| node.at))
}

/// Whether a step is undone, and how.
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
        Tree::Flag(true) => DraftCompensation::Declared(default, node.at),
        Tree::Flag(false) => DraftCompensation::NoCompensation,
        Tree::Map(_) => {
            let Some(fields) = Fields::of(node, "`compensation`", COMPENSATION_KEYS, sink) else {
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
                let right = "it is `true`, `false`, or a map with the keys timeout, retry";
                format!("`compensation` is {}; {right}", node.described())
            });
            DraftCompensation::Default(default)
        }
    }
}

/// Codes in ascending order, each once, so that their order in the file does not matter.
fn not_retryable(node: &Node, sink: &mut DiagnosticSink) -> Vec<String> {
    let right = "it is a list of error codes, such as `[card_declined]`";
    let Some(list) = fields::list(node, "`not_retryable`", right, sink) else {
        return Vec::new();
    };
    if list.len() > limits::MAX_NOT_RETRYABLE_CODES {
        sink.add(node.at, Rule::ErrorCode, || {
            format!(
                "there are {} error codes; at most {} are taken",
                list.len(),
                limits::MAX_NOT_RETRYABLE_CODES
            )
        });
        return Vec::new();
    }
    let mut codes = BTreeSet::new();
    for item in list {
        let Some(code) = fields::text(item, "an error code", sink) else {
            continue;
        };
        if (1..=MAX_ERROR_CODE_CHARS).contains(&code.chars().count()) && !code.contains('\0') {
            codes.insert(code.to_owned());
        } else {
            sink.add(item.at, Rule::ErrorCode, || {
                let most = MAX_ERROR_CODE_CHARS;
                format!("the error code {} is none that a worker can give: it has 1 to {most} characters", quoted(code))
            });
        }
    }
    codes.into_iter().collect()
}
