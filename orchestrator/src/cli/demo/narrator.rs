//! Describes the history of an order's saga in lines of text.

use crate::api::{HistoryEntryDto, StatusIcon, format_duration};
use crate::cli::color::{BOLD, CYAN, Color, DIM, RED, YELLOW, step_style};
use crate::cli::table::escape_control;
use anstyle::Style;
use saga_core::saga::StepStatus;
use saga_core::transition::StatusChange;
use saga_protocol::Time;

/// The phrases of a step: its action, its completed action, its compensation, its completed compensation.
const PHRASES: &[(&str, [&str; 4])] = &[
    (
        "order",
        [
            "record the order",
            "the order is recorded",
            "withdraw the order",
            "the order is withdrawn",
        ],
    ),
    (
        "pay",
        [
            "charge the card",
            "the card is charged",
            "refund the card",
            "the card is refunded",
        ],
    ),
    (
        "store",
        [
            "prepare the food",
            "the food is ready",
            "stop preparing the food",
            "the preparation is stopped",
        ],
    ),
    (
        "deliver",
        [
            "deliver the food",
            "the food is delivered",
            "recall the courier",
            "the courier is recalled",
        ],
    ),
];

/// Of a step that has no phrases.
const DEFAULT_PHRASES: [&str; 4] = ["execute it", "completed", "compensate it", "compensated"];

/// Describes the history of one saga, entry by entry.
pub struct Narrator {
    color: Color,
    started_at: Option<Time>,
    is_rolling_back: bool,
    /// Failed attempts of compensations.
    failed_compensations: u32,
}

impl Narrator {
    pub fn new(color: Color) -> Self {
        Self {
            color,
            started_at: None,
            is_rolling_back: false,
            failed_compensations: 0,
        }
    }

    /// How many attempts of compensations have failed so far.
    pub fn failed_compensations(&self) -> u32 {
        self.failed_compensations
    }

    /// The lines of one entry.
    pub fn describe(&mut self, entry: &HistoryEntryDto) -> Vec<String> {
        let started_at = *self.started_at.get_or_insert(entry.at);
        let mut lines = Vec::new();
        lines.extend(self.manual_input(entry));
        lines.extend(self.failed_attempt(entry));
        lines.extend(self.next_attempt(entry));

        // What has ended comes before what starts because of it.
        let changes = entry.moved.iter().flatten();
        let (saga_changes, step_changes): (Vec<_>, Vec<_>) =
            changes.partition(|change| change.step.is_none());
        let (ends, starts): (Vec<_>, Vec<_>) =
            step_changes.into_iter().partition(|change| is_end(change));

        lines.extend(ends.into_iter().map(|change| self.step(entry, change)));
        for change in saga_changes {
            if change.to == "compensating" && !self.is_rolling_back {
                self.is_rolling_back = true;
                lines.push(self.line("◂", YELLOW, "", "the rollback starts, last step first"));
            }
        }
        lines.extend(starts.into_iter().map(|change| self.step(entry, change)));

        let elapsed = format!("+{}", format_duration(entry.at.since(started_at)));
        let elapsed = self.color.paint(DIM, &format!("{elapsed:>9}"));
        lines
            .into_iter()
            .map(|line| format!("{elapsed}  {line}"))
            .collect()
    }

    fn line(&self, icon: &str, style: Style, actor: &str, text: &str) -> String {
        let indent = if self.is_rolling_back { "  " } else { "" };
        let head = self.color.paint(style, &format!("{icon} {actor:<8}"));
        format!("{indent}{head}  {}", escape_control(text))
    }

    /// An input of the customer or of the store.
    fn manual_input(&self, entry: &HistoryEntryDto) -> Option<String> {
        let field = |name: &str| entry.input[name].as_str().unwrap_or_default();
        match field("type") {
            "cancel" => {
                let text = format!("cancels: “{}”", field("reason"));
                Some(self.line("✋", BOLD, "customer", &text))
            }
            "complete" if field("step") == "store" => {
                Some(self.line("✋", BOLD, "store", "completes the step"))
            }
            "fail" => {
                let reason = entry.input["error"]["message"].as_str().unwrap_or_default();
                Some(self.line("✋", BOLD, "store", &format!("fails the step: “{reason}”")))
            }
            _ => None,
        }
    }

    fn failed_attempt(&mut self, entry: &HistoryEntryDto) -> Option<String> {
        if !is_failed_attempt(entry) {
            return None;
        }
        let input = &entry.input;
        if input["action"] == "compensate" {
            self.failed_compensations += 1;
        }

        let message = input["error"]["message"]
            .as_str()
            .filter(|message| !message.is_empty());
        let message = message
            .or(input["error"]["code"].as_str())
            .unwrap_or("no message");
        let text = match starts_rollback(entry) {
            true => format!("failed: {message}"),
            false => {
                format!(
                    "attempt {} failed: {message}; it will be retried",
                    input["attempt"]
                )
            }
        };
        Some(self.line("✗", RED, input["step"].as_str().unwrap_or_default(), &text))
    }

    /// A further attempt, sent by a timer.
    fn next_attempt(&self, entry: &HistoryEntryDto) -> Option<String> {
        let changes_nothing = entry.moved.as_ref().is_some_and(Vec::is_empty);
        let is_unconsumed = entry.input["unconsumed"].as_bool() == Some(true);
        let is_retry = entry.input["type"] == "timer" && changes_nothing && !is_unconsumed;
        is_retry.then(|| self.line("⟳", CYAN, "", "the next attempt"))
    }

    fn step(&self, entry: &HistoryEntryDto, change: &StatusChange) -> String {
        let name = change.step.as_deref().unwrap_or_default();
        let Ok(status) = change.to.parse::<StepStatus>() else {
            return self.line("?", DIM, name, &change.to);
        };

        let phrases = PHRASES.iter().find(|(step, _)| *step == name);
        let [action, completed, compensation, compensated] =
            phrases.map_or(DEFAULT_PHRASES, |(_, phrases)| *phrases);
        let command = |phrase: &str| format!("orchestrator commands worker {name} to {phrase}");
        let text = match status {
            StepStatus::Pending => "pending".to_owned(),
            StepStatus::Running => command(action),
            StepStatus::Waiting => format!("worker {name} has accepted it and replies later"),
            StepStatus::Completed => completed.to_owned(),
            StepStatus::Failed if self.is_rolling_back => {
                "it has no effect: nothing to compensate".to_owned()
            }
            StepStatus::Failed => "failed".to_owned(),
            StepStatus::Skipped => "not needed".to_owned(),
            // The step that has failed is compensated too: its last attempt may have had an effect.
            StepStatus::Compensating if is_failed_attempt(entry) && entry.input["step"] == name => {
                command("ensure that it has no effect")
            }
            StepStatus::Compensating => command(compensation),
            StepStatus::Compensated => compensated.to_owned(),
        };
        self.line(status.icon(), step_style(status), name, &text)
    }
}

fn is_failed_attempt(entry: &HistoryEntryDto) -> bool {
    entry.input["type"] == "reply" && entry.input["outcome"] == "failed" && entry.ignored.is_none()
}

fn starts_rollback(entry: &HistoryEntryDto) -> bool {
    let mut changes = entry.moved.iter().flatten();
    changes.any(|change| change.step.is_none() && change.to == "compensating")
}

/// Whether a change of a step is an end.
fn is_end(change: &StatusChange) -> bool {
    !matches!(
        change.to.parse(),
        Ok(StepStatus::Running | StepStatus::Compensating | StepStatus::Pending)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(narrator: &mut Narrator, entry: serde_json::Value) -> Vec<String> {
        let entry: HistoryEntryDto = serde_json::from_value(entry).unwrap();
        narrator.describe(&entry)
    }

    #[test]
    fn cancel_starts_the_rollback_and_failed_refund_is_counted() {
        let mut narrator = Narrator::new(Color::disabled());

        let lines = describe(
            &mut narrator,
            serde_json::json!({"revision": 1, "at": "2026-07-01T10:00:00Z", "input": {"type": "start"}, "by": null,
                "moved": [{"step": null, "from": null, "to": "running"},
                          {"step": "order", "from": "pending", "to": "running"}]}),
        );
        assert_eq!(
            lines,
            ["    +0 ms  ▸ order     orchestrator commands worker order to record the order"]
        );

        let lines = describe(
            &mut narrator,
            serde_json::json!({"revision": 2, "at": "2026-07-01T10:00:01.5Z", "by": null,
                "input": {"type": "cancel", "reason": "no appetite"},
                "moved": [{"step": null, "from": "running", "to": "compensating"},
                          {"step": "pay", "from": "completed", "to": "compensating"}]}),
        );
        assert_eq!(
            lines,
            [
                "   +1.5 s  ✋ customer  cancels: “no appetite”",
                "   +1.5 s    ◂           the rollback starts, last step first",
                "   +1.5 s    ◂ pay       orchestrator commands worker pay to refund the card",
            ]
        );

        let lines = describe(
            &mut narrator,
            serde_json::json!({"revision": 3, "at": "2026-07-01T10:00:02Z", "moved": [], "by": null,
                "input": {"type": "reply", "step": "pay", "action": "compensate", "attempt": 1, "outcome": "failed",
                          "error": {"code": "x", "message": "gateway unavailable"}}}),
        );
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("✗ pay       attempt 1 failed: gateway unavailable"),
            "{lines:?}"
        );
        assert_eq!(narrator.failed_compensations(), 1);
    }

    #[test]
    fn final_failure_comes_before_the_rollback() {
        let mut narrator = Narrator::new(Color::disabled());
        let reply = |action: &str, outcome: &str, moved: serde_json::Value| {
            serde_json::json!({"revision": 2, "at": "2026-07-01T10:00:00Z", "moved": moved, "by": null,
                "input": {"type": "reply", "step": "pay", "action": action, "attempt": 1, "outcome": outcome,
                          "error": {"code": "declined", "message": "the card was declined"}}})
        };

        let rollback = serde_json::json!([{"step": null, "from": "running", "to": "compensating"},
            {"step": "pay", "from": "running", "to": "compensating"}]);
        let lines = describe(&mut narrator, reply("execute", "failed", rollback));
        assert!(
            lines[0].ends_with("✗ pay       failed: the card was declined"),
            "{lines:?}"
        );
        assert!(
            lines[2].ends_with("to ensure that it has no effect"),
            "{lines:?}"
        );

        let ended = serde_json::json!([{"step": "pay", "from": "compensating", "to": "failed"}]);
        let lines = describe(&mut narrator, reply("compensate", "completed", ended));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].ends_with("it has no effect: nothing to compensate"),
            "{lines:?}"
        );
        assert_eq!(narrator.failed_compensations(), 0);
    }
}
