//! Simulates the engine against a random environment. Time is virtual. The database fails around
//! commits, the bus loses, repeats, delays and reorders messages, replicas are killed and
//! restarted. A seed determines everything, so that a failing run can be repeated: `SEED=… cargo
//! test --profile sim -p orchestrator --test simulation`.

mod broker;
mod clients;
mod database;
mod disruptions;
mod event_queue;
mod faults;
mod invariants;
mod ledger;
mod replicas;
mod rng;
mod scenario;
mod tables;
mod world;

use faults::{Fault, Faults};
use scenario::{CLIENTS, Scenario, random_seed, run, run_catching_panics};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The allocator of the programs: a run mostly allocates and drops small values.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Default of SIMULATED_SAGAS. Takes about a second per 1,000 sagas without optimisation; tests/run
/// and CI set more.
const SAGAS: usize = 5_000;
/// Every kind of fault must occur at least once per this many sagas.
const SAGAS_PER_FAULT: usize = 2_000;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: expected a number, not {text:?}")),
    )
}

/// The sum over all seeds.
#[derive(Default)]
struct Sum {
    sagas: usize,
    seeds: u64,
    faults: Option<Faults>,
    virtual_seconds: u64,
    failed: Vec<String>,
}

impl Sum {
    /// Whether there were enough sagas, or enough failures to report.
    fn is_complete(&self, sagas: usize) -> bool {
        self.sagas >= sagas || self.failed.len() >= 10
    }

    fn add(&mut self, seed: u64, outcome: Result<scenario::Outcome, Vec<String>>) {
        self.seeds += 1;
        match outcome {
            Ok(outcome) => {
                self.sagas += outcome.sagas;
                self.virtual_seconds += outcome.elapsed_micros / 1_000_000;
                self.faults
                    .get_or_insert_with(|| outcome.faults.none())
                    .add(&outcome.faults);
            }
            Err(violations) => self
                .failed
                .push(format!("SEED={seed}:\n  {}", violations.join("\n  "))),
        }
    }
}

/// Runs a random seed and the seeds 1, 2, 3 … until there were enough sagas, or SEED alone.
fn simulate(sagas: usize) -> Sum {
    let chosen = setting("SEED");
    let next = AtomicU64::new(0);
    let random = random_seed();
    let sum = Mutex::new(Sum::default());
    let threads = if chosen.is_some() {
        1
    } else {
        std::thread::available_parallelism().map_or(1, usize::from)
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let is_complete = sum.lock().expect("lock poisoned").is_complete(sagas);
                    if is_complete || chosen.is_some() && number > 0 {
                        return;
                    }
                    let seed = chosen.unwrap_or(if number == 0 { random } else { number });
                    let outcome = run_catching_panics(Scenario { seed, faults: true });
                    sum.lock().expect("lock poisoned").add(seed, outcome);
                }
            });
        }
    });
    println!("random seed: {random}");
    sum.into_inner().expect("lock poisoned")
}

#[test]
fn sagas_end_consistently_despite_every_fault() {
    let sagas = setting("SIMULATED_SAGAS").map_or(SAGAS, |sagas| {
        usize::try_from(sagas).expect("a number of sagas fits into usize")
    });
    let started = Instant::now();
    let sum = simulate(sagas);
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} sagas of {} seeds in {seconds:.1} s, {} h of virtual time",
        sum.sagas,
        sum.seeds,
        sum.virtual_seconds / 3_600
    );
    assert!(
        sum.failed.is_empty(),
        "failed seeds, repeat one with its SEED:\n{}",
        sum.failed.join("\n")
    );
    let faults = sum.faults.expect("at least one seed succeeded");
    for (kind, count) in Fault::ALL.iter().zip(&faults.counts) {
        println!("{count:>10}  {kind:?}: {}", kind.description());
    }
    let min_count = (sum.sagas / SAGAS_PER_FAULT) as u64;
    let rare: Vec<_> = Fault::ALL
        .iter()
        .zip(&faults.counts)
        .filter(|(_, count)| **count < min_count)
        .collect();
    if setting("SEED").is_none() {
        assert!(
            rare.is_empty(),
            "I11: these occurred fewer than {min_count} times: {rare:?}"
        );
        assert!(
            faults.during_work * 2 > faults.counts.iter().sum(),
            "I11: most faults occurred while no saga was unfinished"
        );
    }
}

#[test]
fn same_seed_gives_same_run() {
    for seed in [1, 2, 3] {
        let scenario = Scenario { seed, faults: true };
        let (first, second) = (run(scenario), run(scenario));
        assert_eq!(
            (first.digest, first.elapsed_micros),
            (second.digest, second.elapsed_micros),
            "seed {seed}"
        );
        assert_ne!(
            first.digest,
            run(Scenario {
                seed: seed + 100,
                ..scenario
            })
            .digest,
            "another seed is another run"
        );
    }
}

#[test]
fn run_without_faults_violates_nothing() {
    let outcome = run(Scenario {
        seed: 7,
        faults: false,
    });
    assert_eq!(outcome.violations, Vec::<String>::new());
    assert_eq!(outcome.sagas, CLIENTS);
    assert_eq!(outcome.faults.counts.iter().sum::<u64>(), 0);
}
