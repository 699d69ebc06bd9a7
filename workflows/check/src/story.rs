//! A run as sentences.

use super::explore::Search;
use super::ledger::{Answer, Command};
use super::model::ConditionResult;
use super::node::Node;
use super::state::Due;
use super::steps::{Accident, From, Step};
use super::word::{Due8, Word};
use super::worker::{Deed, Why};
use saga_core::saga::StepStatus;
use saga_protocol::Action;
use std::rc::Rc;

/// How a node comes about, and what happens last.
pub(super) fn tell(search: &mut Search, node: usize, last: Option<Step>) -> Vec<String> {
    let mut path = vec![node];
    while let Some(parent) = search.seen[path[path.len() - 1]].parent {
        path.push(parent as usize);
    }
    path.reverse();
    // Twins change places from state to state; this says which name stands where.
    let mut names: Vec<String> = search
        .model
        .definition
        .steps
        .iter()
        .map(|step| step.name.clone())
        .collect();
    let mut story = Vec::new();
    let begun = search
        .beginnings()
        .into_iter()
        .find(|step| step.to as usize == path[0]);
    if let Some(step) = begun {
        story.push(sentence(search, &step, &mut names));
    }
    for pair in path.windows(2) {
        let node = Rc::clone(&search.seen[pair[0]].node);
        let met = search.met(&node);
        let mut steps = Vec::new();
        search.steps(
            From {
                index: u32::try_from(pair[0]).unwrap_or(u32::MAX),
                node: &node,
                met: &met,
            },
            &mut steps,
        );
        if let Some(step) = steps.into_iter().find(|step| step.to as usize == pair[1]) {
            story.push(sentence(search, &step, &mut names));
        }
    }
    if let Some(step) = last {
        story.push(sentence(search, &step, &mut names));
    }
    story
}

fn sentence(search: &Search, step: &Step, names: &mut Vec<String>) -> String {
    let deeds = step
        .deeds
        .iter()
        .flat_map(|(at, deeds)| deeds.iter().map(move |deed| (*at, deed)));
    let mut parts: Vec<String> = deeds.map(|(at, deed)| of_deed(&names[at], deed)).collect();
    parts.extend(step.word.map(|word| of_word(word, names)));
    parts.extend(
        step.lost
            .map(|step| format!("the worker of {} loses its ledger", names[step])),
    );
    if step.deeds.is_none() && step.word.is_none() && step.lost.is_none() {
        parts.push("the saga begins".to_owned());
    }
    let change = step.change.as_deref();
    for (at, says) in change.iter().flat_map(|change| &change.said) {
        let says = match says {
            ConditionResult::True => "is true",
            ConditionResult::False => "is false",
            ConditionResult::Fails => "cannot be evaluated",
        };
        parts.push(format!("the condition of {} {says}", names[*at]));
    }
    for sent in change.iter().flat_map(|change| &change.sent) {
        parts.push(format!(
            "it sends {} {}, attempt {}",
            sent.action, names[sent.step], sent.attempt
        ));
    }
    parts.extend(step.accident.map(|accident| match accident {
        Accident::Published => {
            "the orchestrator dies when it has published that, before it commits".to_owned()
        }
        Accident::Asleep => {
            "the orchestrator dies when it has committed, before it writes the timer".to_owned()
        }
        Accident::Overwritten(word) => {
            format!(
                "a replica that has not seen this writes over it what comes of another input: {}",
                of_word(word, names)
            )
        }
    }));
    if !step.order.is_empty() {
        *names = step.order.iter().map(|from| names[*from].clone()).collect();
    }
    format!(
        "{} → {}",
        parts.join("; "),
        state(search, &search.seen[step.to as usize].node, names)
    )
}

fn state(search: &Search, node: &Node, names: &[String]) -> String {
    let saga = search.model.saga(&node.saga, Due::Nothing);
    let begun = saga
        .steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.status != StepStatus::Pending);
    let steps: Vec<_> = begun
        .map(|(at, step)| format!("{} {}", names[at], step.status))
        .collect();
    let paused = if saga.paused { ", paused" } else { "" };
    format!("{}{paused}: {}", saga.status, steps.join(", "))
}

fn of_deed(name: &str, deed: &Deed) -> String {
    let answer = deed
        .answer
        .map_or("and dies before it answers".to_owned(), |(_, _, answer)| {
            format!("and answers {}", of_answer(answer))
        });
    match deed.why {
        Why::Command(Command {
            action, attempt, ..
        }) => {
            format!(
                "the worker of {name} takes {action}, attempt {attempt}, {answer} (its ledger: {:?})",
                deed.row.state
            )
        }
        Why::Late(Command {
            action, attempt, ..
        }) => {
            format!(
                "the worker of {name} hears late what came of {action}, attempt {attempt}, {answer} (its ledger: {:?})",
                deed.row.state
            )
        }
        Why::Finished => format!("the worker of {name} finishes what it had accepted, {answer}"),
        Why::Landed => format!("the call of {name} that was in doubt takes effect"),
    }
}

fn of_answer(answer: Answer) -> &'static str {
    match answer {
        Answer::Completed => "completed",
        Answer::Empty => "completed, with nothing to undo",
        Answer::Accepted => "accepted",
        Answer::Deferred => "deferred",
        Answer::Failed => "failed",
        Answer::FailedForGood => "failed for good",
        Answer::SchemaViolation => "completed, with an output that its schema does not allow",
    }
}

fn of_word(word: Word, names: &[String]) -> String {
    let name = |step: u8| &names[usize::from(step)];
    match word {
        Word::Reply {
            step,
            action,
            attempt,
            answer,
        } => {
            let what = if action == Action::Execute {
                ""
            } else {
                "the compensation of "
            };
            format!(
                "the saga hears of {what}{}, attempt {attempt}: {}",
                name(step),
                of_answer(answer)
            )
        }
        Word::Timer(Due8::Step(step)) => format!("what {} waits for comes due", name(step)),
        Word::Timer(Due8::Reminder(step)) => format!("the reminder of {} comes due", name(step)),
        Word::Timer(Due8::Steps) => "all that is waited for comes due at once".to_owned(),
        Word::Timer(Due8::Deadline) => "the deadline comes".to_owned(),
        Word::Timer(Due8::Everything) => {
            "the deadline comes, and all that is waited for comes due".to_owned()
        }
        Word::Unconsumed(step) => format!(
            "the time of {} ends while its command is unconsumed",
            name(step)
        ),
        Word::Cancel => "someone cancels".to_owned(),
        Word::Pause => "an operator pauses it".to_owned(),
        Word::Resume => "an operator resumes it".to_owned(),
        Word::Retry => "an operator retries".to_owned(),
        Word::Complete(step) => format!("an operator completes {}", name(step)),
        Word::Fail(step) => format!("an operator fails {}", name(step)),
        Word::Resolve(step) => format!("an operator settles the compensation of {}", name(step)),
        Word::Undeliverable { step, action, .. } => {
            format!("Kafka refuses to {action} {}", name(step))
        }
    }
}
