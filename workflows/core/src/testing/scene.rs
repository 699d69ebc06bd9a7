//! A notation for transition tests: a workflow and its history, an input, and the resulting state and effects, each as a
//! line of text.
//!
//! Inputs:
//!
//! | line | meaning |
//! | --- | --- |
//! | `start` | the saga starts |
//! | `a completed`, `a accepted`, `a deferred 10s`, `a failed`, `a failed for good` | a reply to `execute` |
//! | `undo a completed`, `undo a empty`, … | a reply to `compensate` |
//! | `a completed @1` | a reply to attempt 1 instead of the last one |
//! | `cancel`, `retry`, `pause`, `resume`, `complete a`, `fail a`, `resolve a` | requests of clients and operators |
//! | `undeliverable a`, `undeliverable undo a` | Kafka rejects the last command |
//! | `timer`, `timer unconsumed a,b` | a timer, with the steps whose commands are unconsumed |
//! | `+30s timer` | any input, 30 s later |
//!
//! An outcome: `compensating late paused | a completed, b failed | execute c#1, undo b#2 happened, revoke d#1`, or
//! `ignored: late`, or `rejected: it is too late to cancel: …`.

use crate::definition::Definition;
use crate::saga::{Saga, StepStatus};
use crate::testing::flow;
use crate::testing::{check_invariants, check_transition};
use crate::transition::input::{
    Complete, Fail, OperatorRequest, Resolve, Start, Timer, Undeliverable,
};
use crate::transition::{Decision, Effect, Input, SagaContext, Transition, apply, start};
use saga_protocol::message::{Command, Event, Reply, ReplyOutcome};
use saga_protocol::{Action, Failure};
use saga_protocol::{Payload, Time};
use std::time::Duration;
use uuid::Uuid;

/// 2026-01-01T00:00:00Z: the start of every saga in these tests.
pub const STARTED_AT: Time = Time::from_micros(1_767_225_600_000_000);
pub const ID: Uuid = Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001);

/// A saga with its definition, input and clock.
pub struct Scene {
    pub definition: Definition,
    pub input: Payload,
    pub saga: Option<Saga>,
    pub now: Time,
    pub last: Option<Transition>,
}

/// Runs a scenario from the start of a saga, and checks the outcome of each input.
#[track_caller]
pub fn scenario(line: &str, lines: &[(&str, &str)]) -> Scene {
    Scene::new(line).play(lines)
}

impl Scene {
    pub fn new(line: &str) -> Self {
        Self {
            definition: flow(line),
            input: Payload::empty(),
            saga: None,
            now: STARTED_AT,
            last: None,
        }
    }

    /// Sets the input, which conditions read.
    pub fn with_input(mut self, json: &str) -> Self {
        self.input = Payload::parse(json.to_owned()).expect("valid notation");
        self
    }

    #[track_caller]
    pub fn play(mut self, lines: &[(&str, &str)]) -> Self {
        for (number, (input, expected)) in lines.iter().enumerate() {
            let outcome = self.apply_line(input);
            assert_eq!(&outcome, expected, "after line {}, {input:?}", number + 1);
        }
        self
    }

    /// Applies inputs without comparing their outcomes. Each must be applied.
    #[track_caller]
    pub fn after(mut self, inputs: &[&str]) -> Self {
        for input in inputs {
            let outcome = self.apply_line(input);
            assert!(
                !outcome.starts_with("ignored") && !outcome.starts_with("rejected"),
                "{input}: {outcome}"
            );
        }
        self
    }

    pub fn saga(&self) -> &Saga {
        self.saga.as_ref().expect("the saga is started")
    }

    pub fn context(&self) -> SagaContext<'_> {
        SagaContext {
            definition: &self.definition,
            input: &self.input,
        }
    }

    /// Advances the clock, applies the input, checks the invariants, and renders the outcome.
    #[track_caller]
    pub fn apply_line(&mut self, line: &str) -> String {
        if line == "start" {
            let transition = start(self.context(), &start_input(&self.input), self.now);
            return self.record(transition);
        }
        match self.decide_line(line).1 {
            Decision::Applied(transition) => self.record(*transition),
            Decision::Ignored(reason) => format!("ignored: {reason}"),
            Decision::Rejected(refusal) => format!("rejected: {refusal}"),
        }
    }

    /// Advances the clock, and returns the decision about the input without recording it.
    pub fn decide_line(&mut self, line: &str) -> (Input, Decision) {
        let mut line = line;
        if let Some((by, rest)) = line.strip_prefix('+').and_then(|line| line.split_once(' ')) {
            self.now = self.now + humantime::parse_duration(by).expect("valid notation");
            line = rest;
        }
        let input = self.input_of(line);
        let decision = self.apply(&input);
        (input, decision)
    }

    /// The decision about the input. It is computed twice, since it must be deterministic.
    pub fn apply(&self, input: &Input) -> Decision {
        let decision = apply(self.context(), self.saga(), input, self.now);
        let again = Saga::from_json(&self.saga().to_json().expect("a saga is JSON"))
            .expect("a saga is read back");
        assert_eq!(
            decision,
            apply(self.context(), &again, input, self.now),
            "apply is not deterministic: {input:?}"
        );
        if let Decision::Applied(transition) = &decision {
            assert_eq!(
                check_transition(self.saga(), transition, &self.definition),
                Ok(()),
                "after {input:?}"
            );
        }
        decision
    }

    #[track_caller]
    fn record(&mut self, transition: Transition) -> String {
        assert_eq!(
            check_invariants(&transition.saga, &self.definition),
            Ok(()),
            "{:?}",
            transition.saga
        );
        let text = render(&transition);
        self.saga = Some(transition.saga.clone());
        self.last = Some(transition);
        text
    }

    /// The event of the last transition.
    pub fn event(&self) -> &Event {
        let effects = &self
            .last
            .as_ref()
            .expect("a transition is recorded")
            .effects;
        let event = effects.iter().find_map(|effect| match effect {
            Effect::Publish(event) => Some(event),
            Effect::Send { .. } | Effect::SetTimer(_) => None,
        });
        event.expect("every transition has an event")
    }

    /// The commands of the last transition.
    pub fn commands(&self) -> Vec<&Command> {
        self.last
            .as_ref()
            .expect("a transition is recorded")
            .commands()
            .collect()
    }

    pub fn input_of(&self, line: &str) -> Input {
        let words: Vec<_> = line.split(' ').collect();
        let request = || OperatorRequest {
            reason: "because".to_owned(),
            by: "someone".to_owned(),
        };
        let by = || "someone".to_owned();
        match words[..] {
            ["cancel"] => Input::Cancel(request()),
            ["retry"] => Input::Retry(request()),
            ["pause"] => Input::Pause(request()),
            ["resume"] => Input::Resume(request()),
            ["timer"] => Input::Timer(Timer::default()),
            ["timer", "unconsumed", steps] => Input::Timer(Timer {
                unconsumed: true,
                steps: steps.split(',').map(str::to_owned).collect(),
            }),
            ["complete", step] => Input::Complete(Complete {
                step: step.to_owned(),
                output: output("by hand"),
                reason: String::new(),
                by: by(),
            }),
            ["fail", step] => {
                let error = Failure::retryable("by_hand", "an operator fails the step");
                Input::Fail(Fail {
                    step: step.to_owned(),
                    error,
                    by: by(),
                })
            }
            ["resolve", step] => Input::Resolve(Resolve {
                step: step.to_owned(),
                note: "done by hand".to_owned(),
                by: by(),
            }),
            ["undeliverable", "undo", step] => self.undeliverable(step, Action::Compensate),
            ["undeliverable", step] => self.undeliverable(step, Action::Execute),
            ["undo", step, ref words @ ..] => {
                Input::Reply(self.reply(step, Action::Compensate, words))
            }
            [step, ref words @ ..] => Input::Reply(self.reply(step, Action::Execute, words)),
            [] => panic!("an empty line"),
        }
    }

    fn undeliverable(&self, step: &str, action: Action) -> Input {
        let attempt = self.last_attempt(step, action);
        Input::Undeliverable(Undeliverable {
            step: step.to_owned(),
            action,
            attempt,
            message: "too large".to_owned(),
        })
    }

    fn last_attempt(&self, step: &str, action: Action) -> u32 {
        let step = self.saga().step(step);
        step.map_or(1, |step| match action {
            Action::Execute => step.execute.attempt,
            Action::Compensate => step
                .compensation
                .as_ref()
                .map_or(0, |compensation| compensation.attempts.attempt),
        })
    }

    fn reply(&self, step: &str, action: Action, words: &[&str]) -> Reply {
        let (words, attempt) = match words {
            [words @ .., at] if at.starts_with('@') => {
                (words, at[1..].parse().expect("valid notation"))
            }
            _ => (words, self.last_attempt(step, action)),
        };
        let mut reply = Reply {
            saga_id: ID,
            step: step.to_owned(),
            action,
            attempt,
            outcome: ReplyOutcome::Completed,
            output: None,
            empty: false,
            retry_after: None,
            error: None,
        };
        match words {
            ["completed"] => reply.output = Some(output(step)),
            ["empty"] => reply.empty = true,
            ["accepted"] => reply.outcome = ReplyOutcome::Accepted,
            ["deferred", after] => {
                reply.outcome = ReplyOutcome::Deferred;
                reply.retry_after = Some(humantime::parse_duration(after).expect("valid notation"));
            }
            ["failed"] => {
                reply.outcome = ReplyOutcome::Failed;
                reply.error = Some(Failure::retryable("busy", "later"));
            }
            ["failed", "for", "good"] => {
                reply.outcome = ReplyOutcome::Failed;
                reply.error = Some(Failure::permanent("declined", "never"));
            }
            ["failed", code] => {
                reply.outcome = ReplyOutcome::Failed;
                reply.error = Some(Failure::permanent(code, ""));
            }
            _ => panic!("{words:?} is not a reply"),
        }
        reply
    }

    /// The duration until the saga's next timer.
    pub fn next_timer_in(&self) -> Option<Duration> {
        crate::transition::next_timer_at(self.saga()).map(|at| at.since(self.now))
    }
}

pub fn start_input(input: &Payload) -> Start {
    Start {
        saga_id: ID,
        key: "key".to_owned(),
        correlation_id: "c-1".to_owned(),
        input: input.clone(),
        by: "someone".to_owned(),
    }
}

fn output(origin: &str) -> Payload {
    serde_json::json!({ "from": origin }).into()
}

fn render(transition: &Transition) -> String {
    let saga = &transition.saga;
    let mut text = saga.status.to_string();
    text.push_str(if saga.past_deadline { " late" } else { "" });
    text.push_str(if saga.paused { " paused" } else { "" });
    let started = saga
        .steps
        .iter()
        .filter(|step| step.status != StepStatus::Pending);
    let steps: Vec<_> = started
        .map(|step| format!("{} {}", step.name, step.status))
        .collect();
    let commands: Vec<_> = transition.commands().map(render_command).collect();
    for part in [steps.join(", "), commands.join(", ")] {
        if !part.is_empty() {
            text.push_str(" | ");
            text.push_str(&part);
        }
    }
    text
}

fn render_command(command: &Command) -> String {
    let verb = match command.action {
        Action::Execute => "execute",
        Action::Compensate if command.revoke_only => "revoke",
        Action::Compensate => "undo",
    };
    let happened = if command.happened == Some(true) {
        " happened"
    } else {
        ""
    };
    format!("{verb} {}#{}{happened}", command.step, command.attempt)
}
