//! Reads when attempts end, when others follow, and how a step is undone.

use super::diagnostics::{Found, Place, Rule, quoted};
use super::fields::{self, Fields};
use super::read::DraftCompensation;
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
    found: &mut Found,
) -> Duration {
    let default = deadline.map_or(TIMEOUT, |deadline| TIMEOUT.min(deadline));
    let Some(node) = node else { return default };
    let Some(timeout) = fields::duration(node, "`timeout`", found) else {
        return default;
    };
    if let Some(deadline) = deadline.filter(|deadline| timeout > *deadline) {
        found.add(node.at, Rule::TimeoutOverDeadline, || {
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
pub(super) fn reminder(node: &Node, timeout: Duration, found: &mut Found) -> Option<Duration> {
    let reminder = fields::duration(node, "`reminder`", found)?;
    if reminder > timeout {
        found.add(node.at, Rule::ReminderOverTimeout, || {
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
    found: &mut Found,
) -> (RetryPolicy, Option<Place>) {
    let Some(fields) = Fields::of(node, "`retry`", RETRY_KEYS, found) else {
        return (default, None);
    };
    let mut retry = default;
    if let Some(node) = fields.get("attempts") {
        retry.attempts = fields::whole(node, "`attempts`", 1..=limits::MAX_ATTEMPTS, found)
            .unwrap_or(retry.attempts);
    }
    if let Some(node) = fields.get("first") {
        retry.first = fields::duration(node, "`first`", found).unwrap_or(retry.first);
    }
    if let Some(node) = fields.get("factor") {
        retry.factor =
            fields::real(node, "`factor`", 1.0..=limits::MAX_FACTOR, found).unwrap_or(retry.factor);
    }
    if let Some(node) = fields.get("max") {
        retry.max = fields::duration(node, "`max`", found).unwrap_or(retry.max);
    }
    if let Some(node) = fields.get("jitter") {
        retry.jitter =
            fields::real(node, "`jitter`", 0.0..=limits::MAX_JITTER, found).unwrap_or(retry.jitter);
    }
    if let Some(node) = fields.get("not_retryable") {
        retry.not_retryable = not_retryable(node, found);
    }
    (retry, fields.get("attempts").map(|node| node.at))
}

/// Whether a step is undone, and how.
pub(super) fn compensation(
    node: Option<&Node>,
    deadline: Option<Duration>,
    found: &mut Found,
) -> DraftCompensation {
    let default = CompensationPolicy {
        timeout: timeout(None, deadline, found),
        retry: RetryPolicy::COMPENSATION,
    };
    let Some(node) = node else {
        return DraftCompensation::Unsaid(default);
    };
    match &node.value {
        Tree::Flag(true) => DraftCompensation::Wanted(default, node.at),
        Tree::Flag(false) => DraftCompensation::Needless,
        Tree::Map(_) => {
            let Some(fields) = Fields::of(node, "`compensation`", COMPENSATION_KEYS, found) else {
                return DraftCompensation::Unsaid(default);
            };
            let timeout = timeout(fields.get("timeout"), deadline, found);
            let retry = fields.get("retry").map_or(default.retry, |node| {
                retry(node, RetryPolicy::COMPENSATION, found).0
            });
            DraftCompensation::Wanted(CompensationPolicy { timeout, retry }, node.at)
        }
        _ => {
            found.add(node.at, Rule::WrongType, || {
                let right = "it is `true`, `false`, or a map with the keys timeout, retry";
                format!("`compensation` is {}; {right}", node.described())
            });
            DraftCompensation::Unsaid(default)
        }
    }
}

/// Codes in ascending order, each once, so that their order in the file does not matter.
fn not_retryable(node: &Node, found: &mut Found) -> Vec<String> {
    let right = "it is a list of error codes, such as `[card_declined]`";
    let Some(list) = fields::list(node, "`not_retryable`", right, found) else {
        return Vec::new();
    };
    if list.len() > limits::MAX_NOT_RETRYABLE_CODES {
        found.add(node.at, Rule::ErrorCode, || {
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
        let Some(code) = fields::text(item, "an error code", found) else {
            continue;
        };
        if (1..=MAX_ERROR_CODE_CHARS).contains(&code.chars().count()) && !code.contains('\0') {
            codes.insert(code.to_owned());
        } else {
            found.add(item.at, Rule::ErrorCode, || {
                let most = MAX_ERROR_CODE_CHARS;
                format!("the error code {} is none that a worker can give: it has 1 to {most} characters", quoted(code))
            });
        }
    }
    codes.into_iter().collect()
}
