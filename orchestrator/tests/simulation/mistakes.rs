//! Deliberate mistakes, each of which the simulation must catch.

use crate::run::{Plan, caught};
use orchestrator::engine::mistakes::Mistake as Engine;

/// A mistake is to be caught within so many seeds.
const SEEDS: u64 = 60;

/// A mistake in the engine, the database or a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// In the engine itself.
    Engine(Engine),
    /// The write does not check the revisions (C1).
    RevisionNotChecked,
    /// A claimed wake-up is deleted instead of moved ahead (C3).
    WakeUpTakenForGood,
    /// The sweeper does not take the rows of dead owners (D1).
    DeadOwnersLeftAlone,
    /// A worker does not keep the row that forbids an action (A2).
    TombstoneForgotten,
    /// A worker loses the row of an effect now and then (A1).
    EffectForgotten,
}

impl Mistake {
    /// Every mistake.
    const ALL: [Self; 14] = [
        Self::Engine(Engine::PublishedBeforeCommit),
        Self::Engine(Engine::UnclearTakenForDone),
        Self::Engine(Engine::NewIdAfterUnclear),
        Self::Engine(Engine::ReplyAcknowledgedEarly),
        Self::Engine(Engine::RowRemovedEarly),
        Self::Engine(Engine::FailedBatchLeft),
        Self::Engine(Engine::OutdatedKept),
        Self::Engine(Engine::AdoptedRowsLeft),
        Self::Engine(Engine::EarlyWakeUpUncounted),
        Self::RevisionNotChecked,
        Self::WakeUpTakenForGood,
        Self::DeadOwnersLeftAlone,
        Self::TombstoneForgotten,
        Self::EffectForgotten,
    ];
}

#[test]
fn every_deliberate_mistake_is_caught() {
    let mut uncaught = Vec::new();
    println!("| mistake | seeds | caught by |");
    for mistake in Mistake::ALL {
        let plan = |seed| Plan { seed, faults: true, mistake: Some(mistake) };
        let found = (1..=SEEDS).find_map(|seed| caught(plan(seed)).err().map(|broken| (seed, broken)));
        match found {
            Some((seeds, broken)) => println!("| {mistake:?} | {seeds} | {} |", broken[0]),
            None => uncaught.push(mistake),
        }
    }
    assert_eq!(uncaught, [], "nothing was noticed in {SEEDS} seeds");
}
