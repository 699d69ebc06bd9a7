//! What must hold once faults have stopped and all is quiet: the invariants, over the tables and over what the
//! workers' handlers really did.

use crate::ledger::Row;
use crate::tables::Stored;
use crate::world::State;
use orchestrator::engine::Definitions;
use saga_core::definition::Definition;
use saga_core::replay::{HistoryEntry, replay};
use saga_core::saga::{Saga, Status, StepStatus};
use saga_core::testing::{check_invariants, check_transition};
use saga_core::transition::{Decision, IgnoredReason, Input, SagaContext, StatusChange, apply};
use serde::Deserialize;
use std::hash::{DefaultHasher, Hasher};
use uuid::Uuid;

/// Of so many sagas one is walked move by move, with every rule of a move checked: the replay checks all of them.
const WALKED: usize = 8;

/// Checks everything.
pub fn check(state: &mut State, definitions: &Definitions) {
    let mut broken = Vec::new();
    let rows = state.tables.unpublished();
    let replies = state.broker.open_replies();
    if state.tables.unfinished > 0 || rows > 0 || replies > 0 || state.customers.open > 0 {
        let sagas = state
            .tables
            .sagas
            .iter()
            .filter(|(_, stored)| !stored.row.status.is_finished());
        let first: Vec<_> = sagas
            .take(3)
            .map(|(id, stored)| explain(state, *id, stored))
            .collect();
        broken.push(format!(
            "I10: {} sagas, {rows} outbox rows, {replies} replies and {} customers are left: {first:?}",
            state.tables.unfinished, state.customers.open
        ));
    }
    for (number, customer) in state.customers.all.iter().enumerate() {
        let kept = customer
            .saga
            .is_some_and(|saga| state.tables.sagas.contains_key(&saga));
        if !kept && !customer.gone {
            broken.push(format!("I1: customer {number} has no saga"));
        }
    }
    for (index, (id, stored)) in state.tables.sagas.iter().enumerate() {
        let found = saga(state, definitions, *id, stored, index % WALKED == 0);
        if let Err(sentence) = found {
            broken.push(format!("{sentence} (saga {id})"));
        }
    }
    broken
        .into_iter()
        .for_each(|sentence| state.breaks(sentence));
}

/// Where a saga is, in a line; its history is printed.
fn explain(state: &State, id: Uuid, stored: &Stored) -> String {
    let row = &stored.row;
    println!("saga {id}: {}", String::from_utf8_lossy(&row.state));
    for entry in &stored.history {
        println!(
            "{}.{} {} {}",
            entry.revision,
            entry.n,
            entry.at,
            String::from_utf8_lossy(&entry.entry)
        );
    }
    let wakes = state.tables.wake_of(id);
    format!(
        "{id} is {} at {}, {:?}, wakes at {wakes:?}, now {}",
        row.status,
        row.current,
        row.error_code,
        state.db_now()
    )
}

fn saga(
    state: &State,
    definitions: &Definitions,
    id: Uuid,
    stored: &Stored,
    walked: bool,
) -> Result<(), String> {
    let known = definitions
        .latest(&stored.workflow)
        .ok_or("its workflow is not known")?;
    let definition = &known.definition;
    let history = history(stored)?;
    let replayed =
        replay(definition, &history).map_err(|difference| format!("I6: {difference}"))?;
    if replayed.to_json().ok().as_ref() != Some(&stored.row.state) {
        return Err("I6: the history leads to another state than is stored".to_owned());
    }
    if (replayed.status, replayed.revision) != (stored.row.status, stored.row.revision) {
        return Err(format!(
            "I9: the list says {}, the state {}",
            stored.row.status, replayed.status
        ));
    }
    if walked {
        walk(definition, &history)?;
    }
    if !replayed.status.is_finished() {
        return Ok(());
    }
    if state.read.get(&id) != Some(&(replayed.revision, replayed.status)) {
        return Err(format!(
            "I9: it is {}, a reader saw {:?}",
            replayed.status,
            state.read.get(&id)
        ));
    }
    if replayed.status == Status::Completed && state.customers.cancelled.contains(&id) {
        return Err("B1: its cancel was taken, and it is completed".to_owned());
    }
    effects(state, definition, &replayed)
}

/// A history entry as it is stored: revision and moment are columns.
#[derive(Deserialize)]
struct Body {
    input: Input,
    #[serde(default)]
    moved: Option<Vec<StatusChange>>,
    #[serde(default)]
    ignored: Option<IgnoredReason>,
}

fn history(stored: &Stored) -> Result<Vec<HistoryEntry>, String> {
    let read = |row: &orchestrator::db::HistoryRow| {
        let body: Body =
            serde_json::from_slice(&row.entry).map_err(|error| format!("I6: an entry: {error}"))?;
        let Body {
            input,
            moved,
            ignored,
        } = body;
        Ok(HistoryEntry {
            revision: row.revision,
            at: row.at,
            input,
            changes: moved,
            ignored,
            by: None,
        })
    };
    stored.history.iter().map(read).collect()
}

/// I4 and I5, and what else holds of every state and every move.
fn walk(definition: &Definition, history: &[HistoryEntry]) -> Result<(), String> {
    let Some((
        HistoryEntry {
            input: Input::Start(start),
            at,
            ..
        },
        rest,
    )) = history.split_first()
    else {
        return Err("I6: no start".to_owned());
    };
    let subject = SagaContext {
        definition,
        input: &start.input,
    };
    let mut saga = saga_core::transition::start(subject, start, *at).saga;
    for entry in rest {
        if let Decision::Applied(moved) = apply(subject, &saga, &entry.input, entry.at) {
            check_transition(&saga, &moved, definition)
                .map_err(|sentences| sentences.join("; "))?;
            saga = moved.saga;
            check_invariants(&saga, definition).map_err(|sentences| sentences.join("; "))?;
        }
    }
    Ok(())
}

/// I2 to I5 by what the handlers did, whatever the orchestrator believes.
fn effects(state: &State, definition: &Definition, saga: &Saga) -> Result<(), String> {
    let turn = saga
        .rollback
        .as_ref()
        .map_or(u64::MAX, |turn| turn.revision);
    for (defined, step) in definition.steps.iter().zip(&saga.steps) {
        let name = &step.name;
        let by_hand = |name: &str| {
            state
                .customers
                .by_hand
                .contains(&(saga.id, name.to_owned()))
        };
        let row = state.ledgers.row(saga.id, name);
        let stands = row.map_or(0, |row| row.stands);
        let undone_by_nobody = saga.status == Status::Compensated && defined.compensation.is_none();
        let due = i64::from(saga.status == Status::Completed && step.status != StepStatus::Skipped);
        if stands != due && !by_hand(name) && !undone_by_nobody {
            return Err(format!(
                "I2: it is {}, and of {name}, which is {}, {stands} stand",
                saga.status, step.status
            ));
        }
        let Some(row) = row else { continue };
        let left = by_hand(name) || defined.compensation.is_none();
        if row.executed > turn {
            return Err(format!(
                "I5: {name} was sent at revision {}, after the turn at {turn}",
                row.executed
            ));
        }
        if saga.status == Status::Completed && row.compensated > 0 {
            return Err(format!(
                "I5: it is completed, and {name} was to be compensated at {}",
                row.compensated
            ));
        }
        for need in defined.needs.iter().map(|need| &saga.steps[*need].name) {
            let Some(need_row) = state.ledgers.row(saga.id, need) else {
                continue;
            };
            if !left && !by_hand(need) && undone_too_early(need_row, row) {
                return Err(format!(
                    "I4: {need} was undone before {name}, which needs it"
                ));
            }
        }
    }
    Ok(())
}

fn undone_too_early(need: &Row, step: &Row) -> bool {
    need.stands == 0 && step.stands == 0 && need.undone_at > 0 && step.undone_at > need.undone_at
}

/// A number for all that is stored: the same run, the same number.
pub fn digest(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (id, stored) in &state.tables.sagas {
        hasher.write(id.as_bytes());
        hasher.write(&stored.row.state);
        for row in &stored.history {
            hasher.write_i64(row.at.micros());
            hasher.write(&row.entry);
        }
    }
    hasher.write_u64(state.now);
    hasher.finish()
}
