//! The run of one seed: a few workflows, hundreds of concurrent sagas, a period of faults, and the
//! check at the end.

use crate::clients::ClientAction;
use crate::database::Connection;
use crate::disruptions::Disruption;
use crate::event_queue::SimEvent;
use crate::faults::Faults;
use crate::invariants::{check, digest};
use crate::replicas::Liveness;
use crate::rng::Rng;
use crate::world::{State, World};
use orchestrator::engine::Definitions;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::sync::Arc;

/// Clients per seed.
pub const CLIENTS: usize = 500;
const WORKFLOWS: usize = 6;
/// Periods in which clients arrive and faults occur, in microseconds.
const ARRIVAL_PERIOD: u64 = 20_000_000;
const FAULT_PERIOD: u64 = 40_000_000;
/// Everything must be settled within this time after the faults (I10), in microseconds.
const MAX_SETTLING_TIME: u64 = 1_200_000_000;

/// The parameters of a run.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub seed: u64,
    pub faults: bool,
}

/// The outcome of a run.
pub struct Outcome {
    pub violations: Vec<String>,
    pub digest: u64,
    pub sagas: usize,
    pub faults: Faults,
    /// Virtual time, in microseconds.
    pub elapsed_micros: u64,
}

/// Runs a scenario.
pub fn run(scenario: Scenario) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("the runtime starts");
    runtime.block_on(simulate(scenario))
}

async fn simulate(scenario: Scenario) -> Outcome {
    let definitions = Arc::new(Definitions::default());
    let world = World::new(scenario.seed, scenario.faults, Arc::clone(&definitions));
    let connection = Connection {
        world: Arc::clone(&world),
        liveness: Arc::new(Liveness::default()),
    };
    for (number, text) in definition_texts(scenario.seed).into_iter().enumerate() {
        let text = text.replacen("workflow: random", &format!("workflow: random{number}"), 1);
        definitions
            .put(&connection, "random.yaml", &text)
            .await
            .expect("a random definition is valid");
    }
    schedule_events(&mut world.state(), scenario.faults);
    world
        .run_until(FAULT_PERIOD + MAX_SETTLING_TIME, is_settled)
        .await;
    let mut state = world.state();
    check(&mut state, &definitions);
    Outcome {
        violations: std::mem::take(&mut state.violations),
        digest: digest(&state),
        sagas: state.tables.sagas.len(),
        faults: state.faults.clone(),
        elapsed_micros: state.now,
    }
}

fn definition_texts(seed: u64) -> Vec<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
    );
    let definition_texts = saga_core::testing::texts();
    let mut text = || {
        definition_texts
            .new_tree(&mut runner)
            .expect("no value is filtered out")
            .current()
    };
    (0..WORKFLOWS).map(|_| text()).collect()
}

fn schedule_events(state: &mut State, faults: bool) {
    state
        .event_queue
        .add(0, SimEvent::Disruption(Disruption::JoinReplica));
    for number in 0..CLIENTS {
        let at = state.rng.between(1_000, ARRIVAL_PERIOD);
        state.client(&format!("random{}", number % WORKFLOWS), at);
    }
    state
        .event_queue
        .add(FAULT_PERIOD, SimEvent::Disruption(Disruption::StopFaults));
    if !faults {
        return;
    }
    let kinds = [
        (Disruption::KillReplica, 4),
        (Disruption::JoinReplica, 4),
        (Disruption::StopReplica, 2),
        (Disruption::FreezeReplica, 3),
        (Disruption::JumpClock, 3),
        (Disruption::StallPartition, 2),
    ];
    for (disruption, max) in kinds {
        for _ in 0..state.rng.below(max + 1) {
            let at = state.rng.below(FAULT_PERIOD);
            state.event_queue.add(at, SimEvent::Disruption(disruption));
        }
    }
    for _ in 0..state.rng.below(CLIENTS as u64 / 4) {
        let at = state.rng.below(FAULT_PERIOD);
        state
            .event_queue
            .add(at, SimEvent::ClientAction(ClientAction::OperatorAction));
    }
}

/// Whether the faults have stopped and nothing is unfinished.
fn is_settled(state: &State) -> bool {
    !state.faults.are_enabled()
        && state.now > FAULT_PERIOD
        && state.tables.unfinished == 0
        && state.clients.open == 0
        && state.broker.open_replies() == 0
        && state.tables.unpublished() == 0
        && state.event_queue.len() <= 1
}

/// Runs a scenario, and reports a panic as a violation.
pub fn run_catching_panics(scenario: Scenario) -> Result<Outcome, Vec<String>> {
    match std::panic::catch_unwind(|| run(scenario)) {
        Ok(outcome) if outcome.violations.is_empty() => Ok(outcome),
        Ok(outcome) => Err(outcome.violations),
        Err(_) => Err(vec!["panicked".to_owned()]),
    }
}

/// A random seed.
pub fn random_seed() -> u64 {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    Rng::new(u64::try_from(nanos & u128::from(u64::MAX)).unwrap_or(0)).next()
}
