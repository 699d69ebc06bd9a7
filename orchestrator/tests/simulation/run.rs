//! One seed: a few workflows, hundreds of sagas at once, faults for a while, then quiet, then the check.

use crate::agenda::Happening;
use crate::chaos::Chaos;
use crate::check::{check, digest};
use crate::database::Connection;
use crate::dice::Dice;
use crate::faults::Faults;
use crate::people::Deed;
use crate::replicas::Life;
use crate::world::{State, World};
use orchestrator::engine::Definitions;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::sync::Arc;

/// Customers of one seed.
pub const CUSTOMERS: usize = 500;
const WORKFLOWS: usize = 6;
/// Customers come, and faults strike, for so long; in microseconds.
const COMING: u64 = 20_000_000;
const FAULTY: u64 = 40_000_000;
/// Then all must be quiet within so long (I10).
const QUIET: u64 = 1_200_000_000;

/// What a seed is run with.
#[derive(Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    pub faults: bool,
}

/// What came of it.
pub struct Outcome {
    pub broken: Vec<String>,
    pub digest: u64,
    pub sagas: usize,
    pub faults: Faults,
    /// Virtual time, in microseconds.
    pub took: u64,
}

/// Runs a seed.
pub fn run(plan: Plan) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime needs nothing");
    runtime.block_on(live(plan))
}

async fn live(plan: Plan) -> Outcome {
    let definitions = Arc::new(Definitions::default());
    let world = World::new(plan.seed, plan.faults, Arc::clone(&definitions));
    let connection = Connection {
        world: Arc::clone(&world),
        life: Arc::new(Life::default()),
    };
    for (number, text) in texts(plan.seed).into_iter().enumerate() {
        let text = text.replacen("workflow: random", &format!("workflow: random{number}"), 1);
        definitions
            .put(&connection, "random.yaml", &text)
            .await
            .expect("a random definition is valid");
    }
    prepare(&mut world.state(), plan.faults);
    world.turn(FAULTY + QUIET, quiet).await;
    let mut state = world.state();
    check(&mut state, &definitions);
    Outcome {
        broken: std::mem::take(&mut state.broken),
        digest: digest(&state),
        sagas: state.tables.sagas.len(),
        faults: state.faults.clone(),
        took: state.now,
    }
}

fn texts(seed: u64) -> Vec<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
    );
    let texts = saga_core::testing::texts();
    let mut text = || {
        texts
            .new_tree(&mut runner)
            .expect("nothing is filtered")
            .current()
    };
    (0..WORKFLOWS).map(|_| text()).collect()
}

fn prepare(state: &mut State, faults: bool) {
    state.agenda.add(0, Happening::Chaos(Chaos::Join));
    for number in 0..CUSTOMERS {
        let at = state.dice.between(1_000, COMING);
        state.customer(&format!("random{}", number % WORKFLOWS), at);
    }
    state.agenda.add(FAULTY, Happening::Chaos(Chaos::Quiet));
    if !faults {
        return;
    }
    let kinds = [
        (Chaos::Kill, 4),
        (Chaos::Join, 4),
        (Chaos::Leave, 2),
        (Chaos::Sleep, 3),
        (Chaos::Jump, 3),
        (Chaos::Stall, 2),
    ];
    for (chaos, most) in kinds {
        for _ in 0..state.dice.below(most + 1) {
            let at = state.dice.below(FAULTY);
            state.agenda.add(at, Happening::Chaos(chaos));
        }
    }
    for _ in 0..state.dice.below(CUSTOMERS as u64 / 4) {
        let at = state.dice.below(FAULTY);
        state.agenda.add(at, Happening::Deed(Deed::Meddle));
    }
}

/// Faults have stopped, and nothing is under way.
fn quiet(state: &State) -> bool {
    !state.faults.are_on()
        && state.now > FAULTY
        && state.tables.unfinished == 0
        && state.customers.open == 0
        && state.broker.open_replies() == 0
        && state.tables.unpublished() == 0
        && state.agenda.len() <= 1
}

/// Runs a seed; a panic is among what is broken.
pub fn caught(plan: Plan) -> Result<Outcome, Vec<String>> {
    match std::panic::catch_unwind(|| run(plan)) {
        Ok(outcome) if outcome.broken.is_empty() => Ok(outcome),
        Ok(outcome) => Err(outcome.broken),
        Err(_) => Err(vec!["it panicked".to_owned()]),
    }
}

/// A seed that nobody chose.
pub fn random_seed() -> u64 {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    Dice::new(u64::try_from(nanos & u128::from(u64::MAX)).unwrap_or(0)).next()
}
