//! One text for one content: how a definition was written, and its comments, do not matter.

use super::{Definition, Position, Step};
use saga_protocol::retry::RetryPolicy;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::Duration;

impl Definition {
    /// The definition as JSON that says everything, defaults too: itself a definition, which parses to the same.
    ///
    /// Two definitions with the same canonical text do the same. It is compared, not stored: a later release may say
    /// more in it.
    pub fn canonical(&self) -> String {
        let steps: Vec<Value> = self.steps.iter().map(|step| self.step(step)).collect();
        let mut value = json!({
            "workflow": self.workflow,
            "version": self.version,
            "deadline": humane(self.deadline),
            "sensitive": self.sensitive,
            "steps": steps,
        });
        if let Some(schema) = &self.input_schema {
            value["input_schema"] = json!(schema);
        }
        value.to_string()
    }

    /// The SHA-256 of the canonical text, in 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        let mut digest = String::with_capacity(64);
        for byte in Sha256::digest(self.canonical()) {
            write!(digest, "{byte:02x}").expect("a String takes any text");
        }
        digest
    }

    fn step(&self, step: &Step) -> Value {
        let needs: Vec<&str> = step
            .needs
            .iter()
            .map(|need| self.steps[*need].name.as_str())
            .collect();
        let mut value = json!({
            "name": step.name,
            "worker": step.worker,
            "needs": needs,
            "timeout": humane(step.timeout),
            "retry": retry(&step.retry),
            "compensation": match &step.compensation {
                None => json!(false),
                Some(how) => json!({"timeout": humane(how.timeout), "retry": retry(&how.retry)}),
            },
        });
        if let Some(reminder) = step.reminder {
            value["reminder"] = json!(humane(reminder));
        }
        if let Some(when) = &step.when {
            value["when"] = json!(when);
        }
        if let Some(schema) = &step.output_schema {
            value["output_schema"] = json!(schema);
        }
        match step.position {
            Position::Before => {}
            Position::Pivot => value["pivot"] = json!(true),
            Position::Behind => {
                value["retry"]
                    .as_object_mut()
                    .map(|retry| retry.remove("attempts"));
            }
        }
        value
    }
}

/// What is new and not written is not said: so what was stored before keeps its digest.
fn retry(retry: &RetryPolicy) -> Value {
    let mut value = json!({
        "attempts": retry.attempts,
        "first": humane(retry.first),
        "factor": retry.factor,
        "max": humane(retry.max),
        "jitter": retry.jitter,
    });
    if !retry.not_retryable.is_empty() {
        value["not_retryable"] = json!(retry.not_retryable);
    }
    value
}

fn humane(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
