//! Turns the history of a saga into lines that a person reads.

use crate::cli::output::span;
use crate::cli::paint::{Colour, Paint, of_step};
use crate::cli::table::tamed;
use crate::cli::view::{EntryView, MoveView, between};
use saga_core::saga::StepStatus;

/// What each step of an order is, in the words of the trade: when it begins, is done, begins to be undone, is undone.
const WORDS: &[(&str, [&str; 4])] = &[
    (
        "order",
        [
            "write the order down",
            "the order is written down",
            "strike the order out",
            "the order is struck out",
        ],
    ),
    (
        "pay",
        [
            "charge the card",
            "the card is charged",
            "refund the card",
            "the money is back on the card",
        ],
    ),
    (
        "store",
        [
            "ask the kitchen",
            "the food is ready",
            "call the kitchen off",
            "the kitchen was called off",
        ],
    ),
    (
        "deliver",
        [
            "find a courier",
            "delivered to the door",
            "call the courier back",
            "the courier turned round",
        ],
    ),
];

/// Tells one saga's story, entry by entry.
pub struct Story {
    paint: Paint,
    began: Option<String>,
    turned: bool,
    /// Attempts of a refund that failed.
    failed_undos: u32,
}

impl Story {
    /// Nothing is told yet.
    pub fn new(paint: Paint) -> Self {
        Self {
            paint,
            began: None,
            turned: false,
            failed_undos: 0,
        }
    }

    /// How many attempts to undo something failed so far.
    pub fn failed_undos(&self) -> u32 {
        self.failed_undos
    }

    /// The lines of what one input did.
    pub fn tell(&mut self, entry: &EntryView) -> Vec<String> {
        let began = self.began.get_or_insert_with(|| entry.at.clone()).clone();
        let after = between(Some(&began), Some(&entry.at)).unwrap_or_default();
        let mut lines = Vec::new();
        lines.extend(self.someone(entry));
        lines.extend(self.failure(entry));
        lines.extend(self.again(entry));
        let moved = entry.moved.iter().flatten();
        let (of_saga, of_steps): (Vec<_>, Vec<_>) = moved.partition(|moved| moved.step.is_none());
        // What ended is told before what begins by it.
        let (ended, begun): (Vec<_>, Vec<_>) = of_steps.into_iter().partition(|moved| ends(moved));
        lines.extend(ended.into_iter().map(|moved| self.step(entry, moved)));
        for moved in of_saga {
            if moved.to == "compensating" && !std::mem::replace(&mut self.turned, true) {
                lines.push(self.line(
                    "◂",
                    Colour::Yellow,
                    "",
                    "from here on everything is undone, the last step first",
                ));
            }
        }
        lines.extend(begun.into_iter().map(|moved| self.step(entry, moved)));
        let clock = self
            .paint
            .paint(Colour::Dim, &format!("{:>9}", format!("+{}", span(after))));
        lines
            .into_iter()
            .map(|line| format!("{clock}  {line}"))
            .collect()
    }

    fn line(&self, icon: &str, colour: Colour, who: &str, what: &str) -> String {
        let indent = if self.turned { "  " } else { "" };
        let head = self.paint.paint(colour, &format!("{icon} {who:<8}"));
        format!("{indent}{head}  {}", tamed(what))
    }

    /// What a person did.
    fn someone(&self, entry: &EntryView) -> Option<String> {
        let text = |name: &str| entry.input[name].as_str().unwrap_or_default();
        match text("type") {
            "cancel" => {
                let what = format!("changes her mind: “{}”", text("reason"));
                Some(self.line("✋", Colour::Bold, "customer", &what))
            }
            "complete" if text("step") == "store" => {
                Some(self.line("✋", Colour::Bold, "kitchen", "says that it is ready"))
            }
            "fail" => {
                let why = entry.input["error"]["message"].as_str().unwrap_or_default();
                Some(self.line(
                    "✋",
                    Colour::Bold,
                    "kitchen",
                    &format!("says that it can't be: “{why}”"),
                ))
            }
            _ => None,
        }
    }

    /// An attempt that failed.
    fn failure(&mut self, entry: &EntryView) -> Option<String> {
        if !failed(entry) {
            return None;
        }
        let input = &entry.input;
        self.failed_undos += u32::from(input["action"].as_str() == Some("compensate"));
        let why = input["error"]["message"]
            .as_str()
            .filter(|why| !why.is_empty());
        let why = why
            .or(input["error"]["code"].as_str())
            .unwrap_or("it failed");
        let what = if turns(entry) {
            format!("refused: {why}")
        } else {
            format!(
                "attempt {} failed: {why}; it will be tried again",
                input["attempt"]
            )
        };
        Some(self.line(
            "✗",
            Colour::Red,
            input["step"].as_str().unwrap_or_default(),
            &what,
        ))
    }

    /// A further attempt, sent by a timer.
    fn again(&self, entry: &EntryView) -> Option<String> {
        let quiet = entry.moved.as_ref().is_some_and(Vec::is_empty);
        let unconsumed = entry.input["unconsumed"].as_bool() == Some(true);
        (!unconsumed && entry.input["type"].as_str() == Some("timer") && quiet)
            .then(|| self.line("⟳", Colour::Cyan, "", "the pause is over: once more"))
    }

    fn step(&self, entry: &EntryView, moved: &MoveView) -> String {
        let name = moved.step.as_deref().unwrap_or_default();
        let Ok(status) = moved.to.parse::<StepStatus>() else {
            return self.line("?", Colour::Dim, name, &moved.to);
        };
        let (icon, colour) = of_step(status);
        let words = WORDS
            .iter()
            .find(|(step, _)| *step == name)
            .map_or(["begins", "done", "undo", "undone"], |(_, w)| *w);
        let asks = |what: &str| format!("orchestrator asks worker {name} to {what}");
        let what = match status {
            StepStatus::Pending => "waits for its turn".to_owned(),
            StepStatus::Running => asks(words[0]),
            StepStatus::Waiting => format!("worker {name} is at it, and answers later"),
            StepStatus::Completed => words[1].to_owned(),
            StepStatus::Failed if self.turned => "nothing of it stands: nothing to undo".to_owned(),
            StepStatus::Failed => "it cannot be done".to_owned(),
            StepStatus::Skipped => "not needed".to_owned(),
            StepStatus::Compensating
                if failed(entry) && entry.input["step"].as_str() == Some(name) =>
            {
                asks("make sure that nothing of it stands")
            }
            StepStatus::Compensating => asks(words[2]),
            StepStatus::Compensated => words[3].to_owned(),
        };
        self.line(icon, colour, name, &what)
    }
}

/// Whether an entry is an attempt that failed.
fn failed(entry: &EntryView) -> bool {
    let is = |name: &str, value: &str| entry.input[name].as_str() == Some(value);
    is("type", "reply") && is("outcome", "failed") && entry.ignored.is_none()
}

/// Whether an entry turns the saga.
fn turns(entry: &EntryView) -> bool {
    entry
        .moved
        .iter()
        .flatten()
        .any(|moved| moved.step.is_none() && moved.to == "compensating")
}

/// Whether a move ends something.
fn ends(moved: &MoveView) -> bool {
    !matches!(
        moved.to.parse(),
        Ok(StepStatus::Running | StepStatus::Compensating | StepStatus::Pending)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(story: &mut Story, entry: serde_json::Value) -> Vec<String> {
        let entry: EntryView = serde_json::from_value(entry).unwrap();
        story.tell(&entry)
    }

    #[test]
    fn a_cancel_turns_the_story_and_a_failed_refund_is_told() {
        let mut story = Story::new(Paint::plain());
        let lines = told(
            &mut story,
            serde_json::json!({"revision": 1, "at": "2026-07-01T10:00:00Z", "input": {"type": "start"},
                "moved": [{"step": null, "from": null, "to": "running"},
                          {"step": "order", "from": "pending", "to": "running"}]}),
        );
        assert_eq!(
            lines,
            ["    +0 ms  ▸ order     orchestrator asks worker order to write the order down"]
        );
        let lines = told(
            &mut story,
            serde_json::json!({"revision": 2, "at": "2026-07-01T10:00:01.5Z",
                "input": {"type": "cancel", "reason": "hungry no more"},
                "moved": [{"step": null, "from": "running", "to": "compensating"},
                          {"step": "pay", "from": "completed", "to": "compensating"}]}),
        );
        assert_eq!(
            lines,
            [
                "  +1.50 s  ✋ customer  changes her mind: “hungry no more”",
                "  +1.50 s    ◂           from here on everything is undone, the last step first",
                "  +1.50 s    ◂ pay       orchestrator asks worker pay to refund the card",
            ]
        );
        let lines = told(
            &mut story,
            serde_json::json!({"revision": 3, "at": "2026-07-01T10:00:02Z", "moved": [],
                "input": {"type": "reply", "step": "pay", "action": "compensate", "attempt": 1, "outcome": "failed",
                          "error": {"code": "x", "message": "the gateway is away"}}}),
        );
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("✗ pay       attempt 1 failed: the gateway is away"),
            "{lines:?}"
        );
        assert_eq!(story.failed_undos(), 1);
    }

    #[test]
    fn a_refusal_is_told_before_the_turn_and_nothing_is_undone_that_did_not_happen() {
        let mut story = Story::new(Paint::plain());
        let reply = |action: &str, outcome: &str, moved: serde_json::Value| {
            serde_json::json!({"revision": 2, "at": "2026-07-01T10:00:00Z", "moved": moved,
                "input": {"type": "reply", "step": "pay", "action": action, "attempt": 1, "outcome": outcome,
                          "error": {"code": "declined", "message": "the card was declined"}}})
        };
        let turn = serde_json::json!([{"step": null, "from": "running", "to": "compensating"},
            {"step": "pay", "from": "running", "to": "compensating"}]);
        let lines = told(&mut story, reply("execute", "failed", turn));
        assert!(
            lines[0].ends_with("✗ pay       refused: the card was declined"),
            "{lines:?}"
        );
        assert!(
            lines[2].ends_with("asks worker pay to make sure that nothing of it stands"),
            "{lines:?}"
        );
        let undone = serde_json::json!([{"step": "pay", "from": "compensating", "to": "failed"}]);
        let lines = told(&mut story, reply("compensate", "completed", undone));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].ends_with("✗ pay       nothing of it stands: nothing to undo"),
            "{lines:?}"
        );
        assert_eq!(story.failed_undos(), 0);
    }
}
