//! Deliberate mistakes: each of the engine's, the database's and the workers' must be noticed; which of the workflows'
//! are, and by which rule, ARCHITECTURE.md tells.

use crate::run::{Plan, caught};
use orchestrator::engine::mistakes::Mistake as Engine;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use workflows::mutation::Mutant;

/// A mistake in the engine, the database or a worker is to be noticed within so many seeds.
const SEEDS: u64 = 60;
/// So many seeds look for a mistake in how a saga moves, of about 450 sagas each.
const MUTANT_SEEDS: u64 = 8;

const ARCHITECTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// In how a saga moves.
    Workflow(Mutant),
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
    /// Those that are neither the engine's nor the workflows'.
    const AROUND: [Self; 5] = [
        Self::RevisionNotChecked,
        Self::WakeUpTakenForGood,
        Self::DeadOwnersLeftAlone,
        Self::TombstoneForgotten,
        Self::EffectForgotten,
    ];

    const fn sentence(self) -> &'static str {
        match self {
            Self::Workflow(mutant) => mutant.sentence(),
            Self::Engine(mistake) => mistake.sentence(),
            Self::RevisionNotChecked => "the write does not check the revisions (C1)",
            Self::WakeUpTakenForGood => "a claimed wake-up is deleted instead of moved ahead (C3)",
            Self::DeadOwnersLeftAlone => "the sweeper does not take the rows of dead owners (D1)",
            Self::TombstoneForgotten => "a worker does not keep the row that forbids an action (A2)",
            Self::EffectForgotten => "a worker loses the row of an effect now and then (A1)",
        }
    }

    /// The rule by which it is noticed first.
    fn noticed(self) -> Option<String> {
        let seeds = if matches!(self, Self::Workflow(_)) { MUTANT_SEEDS } else { SEEDS };
        let plan = |seed| Plan { seed, faults: true, mistake: Some(self) };
        let began = Instant::now();
        let found = (1..=seeds).find_map(|seed| caught(plan(seed)).err().map(|broken| (seed, broken)));
        let took = began.elapsed().as_secs_f64();
        let Some((seed, broken)) = found else {
            println!("{took:>6.1} s: nothing was noticed of: {}", self.sentence());
            return None;
        };
        println!("{took:>6.1} s, seed {seed}: {}: {}", self.sentence(), broken[0]);
        Some(rule(&broken[0]).to_owned())
    }
}

/// The rule that a sentence names first, if it does.
fn rule(sentence: &str) -> &str {
    let named = |word: &&str| {
        let digits = word.strip_prefix(|letter: char| letter.is_ascii_uppercase()).unwrap_or_default();
        !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_digit())
    };
    sentence.split([' ', ':', ';']).find(named).unwrap_or("invariants")
}

/// By which rule each of them is noticed; each on a thread of its own, so that what a mistake throws begins anew.
fn noticed(mistakes: &[Mistake]) -> Vec<Option<String>> {
    let next = AtomicUsize::new(0);
    let rules = Mutex::new(vec![None; mistakes.len()]);
    let work = || {
        while let Some((index, mistake)) = numbered(mistakes, next.fetch_add(1, Ordering::Relaxed)) {
            let rule = std::thread::spawn(move || mistake.noticed()).join().expect("what panics is caught");
            rules.lock().expect("no holder of this lock panics")[index] = rule;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    rules.into_inner().expect("no holder of this lock panics")
}

fn numbered(mistakes: &[Mistake], index: usize) -> Option<(usize, Mistake)> {
    mistakes.get(index).map(|mistake| (index, *mistake))
}

/// Holds what stands in ARCHITECTURE.md between two marks of that name against what should; BLESS=1 writes it.
fn keeps(name: &str, should: impl FnOnce(&str) -> String) {
    // Read and written by two tests at once otherwise.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = std::fs::read_to_string(ARCHITECTURE).expect("it is there");
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let begin = text.find(&begin).expect("it has a place for it") + begin.len();
    let end = text.find(&end).expect("that place ends");
    let (stands, should) = (&text[begin..end], should(&text[begin..end]));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(ARCHITECTURE, format!("{}{should}{}", &text[..begin], &text[end..])).expect("it can be written");
        return;
    }
    for (line, stood) in should.lines().zip(stands.lines()) {
        assert_eq!(line, stood, "BLESS=1 cargo test -p orchestrator --test simulation mistake writes it anew");
    }
    assert_eq!(should.len(), stands.len());
}

#[test]
fn every_deliberate_mistake_is_caught() {
    let engine = Engine::ALL.iter().copied().map(Mistake::Engine);
    let mistakes: Vec<_> = engine.chain(Mistake::AROUND).collect();
    let rules = noticed(&mistakes);
    let rows = mistakes.iter().zip(&rules);
    let unnoticed: Vec<_> = rows.clone().filter(|(_, rule)| rule.is_none()).collect();
    assert!(unnoticed.is_empty(), "nothing was noticed in {SEEDS} seeds: {unnoticed:?}");
    let row = |(mistake, rule): (&Mistake, &Option<String>)| {
        format!("| {} | {} |\n", mistake.sentence(), rule.as_deref().unwrap_or_default())
    };
    let rows: String = rows.map(row).collect();
    keeps("mistakes", |_| format!("| a mistake around the sagas | noticed by |\n| --- | --- |\n{rows}"));
}

#[test]
fn architecture_says_which_mistakes_of_the_workflows_a_simulation_notices() {
    let mistakes: Vec<_> = Mutant::ALL.iter().copied().map(Mistake::Workflow).collect();
    let rules = noticed(&mistakes);
    assert!(rules.iter().flatten().count() >= 20, "the mistakes are made");
    keeps("mutants", |stands| stands.lines().map(|line| filled(line, &mistakes, &rules) + "\n").collect());
}

/// A row of the workflows' table, with its last cell as it should be. The others are not this test's.
fn filled(line: &str, mistakes: &[Mistake], rules: &[Option<String>]) -> String {
    let of_row = |mistake: &Mistake| line.starts_with(&format!("| {} |", mistake.sentence()));
    let Some(index) = mistakes.iter().position(of_row) else { return line.to_owned() };
    let cells: Vec<_> = line.split(" | ").collect();
    let [mistake, exploration, random, _] = cells[..] else { panic!("four cells, not {line}") };
    let rule = rules[index].as_deref().unwrap_or_default();
    format!("{mistake} | {exploration} | {random} | {rule} |")
}
