//! Each deliberate mistake is noticed, by an exploration, by random runs or by a simulation; ARCHITECTURE.md tells by
//! which, and how soon.

use super::properties::{PROPERTIES, run, seeds};
use crate::check::{Bound, Messages, explore};
use crate::mutation::{Mutant, with};
use crate::testing::{definitions, flow, inputs};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Small workflows that have everything between them.
const WORKFLOWS: &[&str] = &[
    "a; b",
    "a; b when; c",
    "a schema; b",
    "a reminder=10s",
    "a; b needless; c",
    "a; p pivot; c",
    "a; p pivot when; c",
    "a; p pivot needless; c",
    "a:-; b:-; c:a,b",
    "p pivot; c:p; d:p; e:d",
];

/// States that an exploration gets to notice a mistake.
const STATES: usize = 20_000;

/// Random runs that a property gets to notice a mistake.
const RUNS: usize = 300;

/// Which rule breaks in the shortest run that shows the mistake, and in which workflow.
fn explored(mutant: Mutant) -> Option<String> {
    let each = |messages| WORKFLOWS.iter().map(move |line| (*line, messages));
    each(Messages::Implied).chain(each(Messages::Explicit)).find_map(|(line, messages)| {
        let definition = flow(line);
        let bound = Bound { messages, max_states: STATES, ..Bound::of(&definition) };
        let work = || with(mutant, || explore(&definition, &bound, &mut || true));
        let Ok(report) = catch_unwind(AssertUnwindSafe(work)) else { return Some(format!("a panic: `{line}`")) };
        let violation = report.violation?;
        let (rule, lines) = (rule(&violation.broken), violation.story.len());
        Some(format!("{rule}, line {lines}: `{line}`"))
    })
}

/// The rule that a sentence names, if it does.
fn rule(sentence: &str) -> &str {
    let named = |word: &&str| {
        let mut chars = word.chars();
        chars.next().is_some_and(|c| "BI".contains(c)) && word.len() > 1 && chars.all(|c| c.is_ascii_digit())
    };
    sentence.split([' ', ':', ';']).find(named).unwrap_or("invariants")
}

/// Which property of random runs fails.
fn run_at_random(mutant: Mutant) -> Option<String> {
    let mut runner = TestRunner::deterministic();
    (0..RUNS).find_map(|_| {
        let (definition, input, seeds) = (definitions(), inputs(), seeds()).new_tree(&mut runner).ok()?.current();
        let work = || {
            with(mutant, || match run(definition, input, &seeds) {
                Err(_) => Some("invariants"),
                Ok(run) => PROPERTIES.iter().find_map(|(name, property)| property(&run).is_err().then_some(*name)),
            })
        };
        Some(catch_unwind(AssertUnwindSafe(work)).unwrap_or(Some("a panic"))?.to_owned())
    })
}

/// The table, with what stands in the one before about simulations, which have their own test.
fn table(before: &str) -> String {
    let mut text = String::from("| a mistake | exploration | random runs | simulation |\n| --- | --- | --- | --- |\n");
    let mut unnoticed = Vec::new();
    for mutant in Mutant::ALL {
        let sentence = mutant.sentence();
        let row = before.lines().find(|line| line.starts_with(&format!("| {sentence} |")));
        let simulated = row.and_then(|row| row.split('|').nth(4)).map_or("", str::trim);
        let (explored, at_random) = (explored(*mutant), run_at_random(*mutant));
        let noticed = explored.is_some() || at_random.is_some() || !simulated.is_empty();
        unnoticed.extend((!noticed).then_some(sentence));
        let cells =
            [sentence.to_owned(), explored.unwrap_or_default(), at_random.unwrap_or_default(), simulated.into()];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    assert!(unnoticed.is_empty(), "nobody notices: {unnoticed:?}");
    text
}

#[test]
fn every_mistake_is_noticed_and_architecture_says_by_whom() {
    const BEGIN: &str = "<!-- mutants -->\n";
    const END: &str = "<!-- /mutants -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).unwrap();
    let begin = text.find(BEGIN).expect("ARCHITECTURE.md has the place for the table") + BEGIN.len();
    let end = text.find(END).expect("ARCHITECTURE.md has the end of the table");
    let table = table(&text[begin..end]);
    assert!(Mutant::ALL.len() >= 24);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, format!("{}{table}{}", &text[..begin], &text[end..])).unwrap();
        return;
    }
    for (now, before) in table.lines().zip(text[begin..end].lines()) {
        assert_eq!(now, before, "BLESS=1 cargo test -p workflows mistake writes the table anew");
    }
    assert_eq!(table.len(), end - begin);
}
