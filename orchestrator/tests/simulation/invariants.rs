//! The invariants that must hold after the faults, over the tables and over what the workers'
//! handlers actually did.

use crate::ledger::Row;
use crate::tables::StoredRow;
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

/// Every transition of one saga in this many is checked by every rule. The replay covers all sagas.
const TRANSITION_CHECK_INTERVAL: usize = 8;

/// Checks all invariants.
pub fn check(state: &mut State, definitions: &Definitions) {
    let mut broken = Vec::new();
    let rows = state.tables.unpublished();
    let replies = state.broker.open_replies();
    if state.tables.unfinished > 0 || rows > 0 || replies > 0 || state.clients.open > 0 {
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
            state.tables.unfinished, state.clients.open
        ));
    }
    for (number, client) in state.clients.all.iter().enumerate() {
        let kept = client
            .saga
            .is_some_and(|saga| state.tables.sagas.contains_key(&saga));
        if !kept && !client.gave_up {
            broken.push(format!("I1: customer {number} has no saga"));
        }
    }
    for (index, (id, stored)) in state.tables.sagas.iter().enumerate() {
        let found = saga(
            state,
            definitions,
            *id,
            stored,
            index % TRANSITION_CHECK_INTERVAL == 0,
        );
        if let Err(sentence) = found {
            broken.push(format!("{sentence} (saga {id})"));
        }
    }
    broken
        .into_iter()
        .for_each(|sentence| state.report_violation(sentence));
}

/// Summarises a saga in one line, and prints its history.
fn explain(state: &State, id: Uuid, stored: &StoredRow) -> String {
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
    let wakes = state.tables.timer_of(id);
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
    stored: &StoredRow,
    check_transitions: bool,
) -> Result<(), String> {
    let known = definitions
        .latest(&stored.workflow)
        .ok_or("its workflow is unknown")?;
    let definition = &known.definition;
    let history = history(stored)?;
    let replayed =
        replay(definition, &history).map_err(|difference| format!("I6: {difference}"))?;
    if replayed.to_json().ok().as_ref() != Some(&stored.row.state) {
        return Err("I6: the replayed history differs from the stored state".to_owned());
    }
    if (replayed.status, replayed.revision) != (stored.row.status, stored.row.revision) {
        return Err(format!(
            "I9: the row has status {}, the state {}",
            stored.row.status, replayed.status
        ));
    }
    if check_transitions {
        check_transitions_of(definition, &history)?;
    }
    if !replayed.status.is_finished() {
        return Ok(());
    }
    if state.read.get(&id) != Some(&(replayed.revision, replayed.status)) {
        return Err(format!(
            "I9: it is {}, the consumer saw {:?}",
            replayed.status,
            state.read.get(&id)
        ));
    }
    if replayed.status == Status::Completed && state.clients.cancelled.contains(&id) {
        return Err("B1: its cancel was applied, and it is completed".to_owned());
    }
    check_effects(state, definition, &replayed)
}

/// A stored history entry: revision and time are columns.
#[derive(Deserialize)]
struct Body {
    input: Input,
    #[serde(default)]
    moved: Option<Vec<StatusChange>>,
    #[serde(default)]
    ignored: Option<IgnoredReason>,
}

fn history(stored: &StoredRow) -> Result<Vec<HistoryEntry>, String> {
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

/// I4, I5 and all other invariants of states and transitions.
fn check_transitions_of(definition: &Definition, history: &[HistoryEntry]) -> Result<(), String> {
    let Some((
        HistoryEntry {
            input: Input::Start(start),
            at,
            ..
        },
        rest,
    )) = history.split_first()
    else {
        return Err("I6: the history does not begin with a start".to_owned());
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

/// I2 to I5, by what the handlers actually did.
fn check_effects(state: &State, definition: &Definition, saga: &Saga) -> Result<(), String> {
    let rollback = saga
        .rollback
        .as_ref()
        .map_or(u64::MAX, |rollback| rollback.revision);
    for (defined, step) in definition.steps.iter().zip(&saga.steps) {
        let name = &step.name;
        let settled_by_operator = |name: &str| {
            state
                .clients
                .settled_by_operator
                .contains(&(saga.id, name.to_owned()))
        };
        let row = state.ledgers.row(saga.id, name);
        let effects = row.map_or(0, |row| row.effects);
        let stays_uncompensated =
            saga.status == Status::Compensated && defined.compensation.is_none();
        let expected =
            i64::from(saga.status == Status::Completed && step.status != StepStatus::Skipped);
        if effects != expected && !settled_by_operator(name) && !stays_uncompensated {
            return Err(format!(
                "I2: it is {}, and of {name}, which is {}, {effects} effects are in place",
                saga.status, step.status
            ));
        }
        let Some(row) = row else { continue };
        let is_exempt = settled_by_operator(name) || defined.compensation.is_none();
        if row.executed > rollback {
            return Err(format!(
                "I5: {name} was sent at revision {}, after the rollback at {rollback}",
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
            if !is_exempt && !settled_by_operator(need) && is_undone_too_early(need_row, row) {
                return Err(format!(
                    "I4: {need} was undone before {name}, which needs it"
                ));
            }
        }
    }
    Ok(())
}

fn is_undone_too_early(need: &Row, step: &Row) -> bool {
    need.effects == 0 && step.effects == 0 && need.undone_at > 0 && step.undone_at > need.undone_at
}

/// A digest of everything that is stored: the same run gives the same digest.
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
