//! The trace of a run: one sentence per move.

use super::event::{Event, Expiry};
use super::explore::Search;
use super::ledger::ReplyKind;
use super::model::{AbstractTransition, ConditionResult};
use super::moves::{Move, Origin};
use super::node::Node;
use super::worker::{Trigger, WorkerAction};
use saga_core::saga::StepStatus;
use saga_protocol::Action;
use std::rc::Rc;

/// The shortest trace to a node, and `last_move` from there.
pub(super) fn render(search: &mut Search, node: usize, last_move: Option<Move>) -> Vec<String> {
    let path = path_to(search, node);
    // Symmetric steps change places from node to node: this is the name at each position.
    let mut names: Vec<String> = search
        .model
        .definition
        .steps
        .iter()
        .map(|step| step.name.clone())
        .collect();

    let mut trace = Vec::new();
    let starts = search.starts();
    if let Some(start) = starts.iter().find(|start| start.target as usize == path[0]) {
        trace.push(sentence(search, start, &mut names));
    }
    for edge in path.windows(2) {
        if let Some(next) = find_move(search, edge[0], edge[1]) {
            trace.push(sentence(search, &next, &mut names));
        }
    }
    if let Some(last_move) = last_move {
        trace.push(sentence(search, &last_move, &mut names));
    }
    trace
}

/// The nodes from the start to a node.
fn path_to(search: &Search, node: usize) -> Vec<usize> {
    let mut path = vec![node];
    let mut current = node;
    while let Some(parent) = search.visited[current].parent {
        current = parent as usize;
        path.push(current);
    }
    path.reverse();
    path
}

/// A move between two nodes. The search keeps no moves, so they are computed again.
fn find_move(search: &mut Search, from: usize, target: usize) -> Option<Move> {
    let node = Rc::clone(&search.visited[from].node);
    let successors = search.successors_of(&node);
    let origin = Origin {
        index: u32::try_from(from).unwrap_or(u32::MAX),
        node: &node,
        successors: &successors,
    };

    let mut moves = Vec::new();
    search.moves_from(origin, &mut moves);
    moves
        .into_iter()
        .find(|next| next.target as usize == target)
}

/// A move as a sentence. Applies its permutation to `names`.
fn sentence(search: &Search, next: &Move, names: &mut Vec<String>) -> String {
    let mut clauses = Vec::new();
    if let Some((step, actions)) = &next.worker_actions {
        clauses.extend(
            actions
                .iter()
                .map(|action| worker_action(&names[*step], action)),
        );
    }
    if let Some(event) = next.event {
        clauses.push(event_clause(event, names));
    }
    if let Some(step) = next.ledger_loss {
        clauses.push(format!("the worker of {} loses its ledger", names[step]));
    }
    if clauses.is_empty() {
        clauses.push("the saga starts".to_owned());
    }
    if let Some(transition) = &next.transition {
        clauses.extend(transition_clauses(transition, names));
    }

    if !next.permutation.is_empty() {
        *names = next
            .permutation
            .iter()
            .map(|former| names[*former].clone())
            .collect();
    }
    let target = &search.visited[next.target as usize].node;
    format!(
        "{} → {}",
        clauses.join("; "),
        node_summary(search, target, names)
    )
}

fn transition_clauses(transition: &AbstractTransition, names: &[String]) -> Vec<String> {
    let conditions = transition.conditions.iter().map(|(step, result)| {
        let result = match result {
            ConditionResult::True => "is true",
            ConditionResult::False => "is false",
            ConditionResult::Error => "cannot be evaluated",
        };
        format!("the condition of {} {result}", names[*step])
    });
    let commands = transition.commands.iter().map(|command| {
        let step = &names[command.step];
        format!(
            "it sends {} {step}, attempt {}",
            command.action, command.attempt
        )
    });
    conditions.chain(commands).collect()
}

fn node_summary(search: &Search, node: &Node, names: &[String]) -> String {
    let saga = search.model.concretize(&node.saga, None);
    let started = saga
        .steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.status != StepStatus::Pending);
    let steps: Vec<_> = started
        .map(|(position, step)| format!("{} {}", names[position], step.status))
        .collect();
    let paused = if saga.paused { ", paused" } else { "" };
    format!("{}{paused}: {}", saga.status, steps.join(", "))
}

pub(super) fn worker_action(step: &str, action: &WorkerAction) -> String {
    let reply = match action.reply {
        Some(reply) => format!("replies {}", reply_kind(reply.kind)),
        None => "crashes before it replies".to_owned(),
    };
    let state = action.row.state;
    match action.trigger {
        Trigger::Command(command) => format!(
            "the worker of {step} receives {}, attempt {}, and {reply} (ledger: {state:?})",
            command.action, command.attempt
        ),
        Trigger::LateResult(command) => format!(
            "the worker of {step} receives the late result of {}, attempt {}, and {reply} (ledger: \
             {state:?})",
            command.action, command.attempt
        ),
        Trigger::Finished => {
            format!("the worker of {step} finishes what it had accepted, and {reply}")
        }
        Trigger::TookEffect => format!("the call of {step} that was in doubt takes effect"),
    }
}

fn reply_kind(kind: ReplyKind) -> &'static str {
    match kind {
        ReplyKind::Completed => "completed",
        ReplyKind::Empty => "completed, with nothing to undo",
        ReplyKind::Accepted => "accepted",
        ReplyKind::Deferred => "deferred",
        ReplyKind::Failed => "failed",
        ReplyKind::FailedPermanently => "failed permanently",
        ReplyKind::SchemaViolation => "completed, with an output that violates its schema",
    }
}

fn event_clause(event: Event, names: &[String]) -> String {
    let name = |step: u8| &names[usize::from(step)];
    match event {
        Event::Reply {
            step,
            action,
            attempt,
            kind,
        } => {
            let direction = match action {
                Action::Execute => "",
                Action::Compensate => "the compensation of ",
            };
            format!(
                "the saga receives the reply of {direction}{}, attempt {attempt}: {}",
                name(step),
                reply_kind(kind)
            )
        }
        Event::Timer(Expiry::Step(step)) => format!("the wait of {} expires", name(step)),
        Event::Timer(Expiry::Reminder(step)) => format!("the reminder of {} is due", name(step)),
        Event::Timer(Expiry::AllSteps) => "the waits of all steps expire at once".to_owned(),
        Event::Timer(Expiry::Deadline) => "the deadline passes".to_owned(),
        Event::Timer(Expiry::Everything) => {
            "the deadline passes, and the waits of all steps expire".to_owned()
        }
        Event::Unconsumed(step) => {
            format!(
                "the wait of {} expires while its command is unconsumed",
                name(step)
            )
        }
        Event::Cancel => "a client cancels the saga".to_owned(),
        Event::Pause => "an operator pauses the saga".to_owned(),
        Event::Resume => "an operator resumes the saga".to_owned(),
        Event::Retry => "an operator retries the saga".to_owned(),
        Event::Complete(step) => format!("an operator completes {}", name(step)),
        Event::Fail(step) => format!("an operator fails {}", name(step)),
        Event::Resolve(step) => format!("an operator resolves the compensation of {}", name(step)),
        Event::Undeliverable { step, action, .. } => {
            format!("the broker rejects the command to {action} {}", name(step))
        }
    }
}
