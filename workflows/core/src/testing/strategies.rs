//! Proptest strategies for valid random workflows and their inputs.

use crate::definition::Definition;
use proptest::collection::vec;
use proptest::prelude::*;
use saga_protocol::Payload;
use std::fmt::Write;

/// The maximum number of steps of a random workflow.
pub const STEPS: usize = 8;

/// The flags that random conditions use, as `input.flags.<name>`.
pub const FLAGS: [&str; 3] = ["a", "b", "c"];

const CONDITIONS: [&str; 5] = [
    "input.flags.a",
    "!input.flags.b",
    "input.flags.a || input.flags.c",
    "has(input.flags.b) && input.flags.b",
    "input.flags.a == input.flags.c",
];

/// Valid workflows of 1 to [`STEPS`] steps `s0`, `s1` … in random order, with an optional pivot, and with optional
/// compensations and conditions. They shrink to fewer steps and fewer needs.
pub fn definitions() -> impl Strategy<Value = Definition> {
    texts().prop_map(|text| match Definition::parse("random.yaml", &text) {
        Ok(definition) => definition,
        Err(diagnostics) => panic!("a random definition is valid, but:\n{diagnostics}\n{text}"),
    })
}

/// The same workflows as YAML.
pub fn texts() -> impl Strategy<Value = String> {
    let pivot = proptest::option::of(0..STEPS);
    (1..=STEPS, pivot, vec(seeds(), STEPS), any::<bool>()).prop_map(
        |(count, pivot, seeds, secret)| {
            write(
                &seeds[..count],
                pivot.filter(|pivot| *pivot < count),
                secret,
            )
        },
    )
}

/// Inputs with every flag: `{"flags": {"a": true, …}, "secret": "s"}`.
pub fn inputs() -> impl Strategy<Value = Payload> {
    any::<[bool; FLAGS.len()]>().prop_map(|values| {
        let flags: serde_json::Map<_, _> = FLAGS
            .iter()
            .zip(values)
            .map(|(name, value)| ((*name).to_owned(), value.into()))
            .collect();
        Payload::from(serde_json::json!({"flags": flags, "secret": "s"}))
    })
}

/// The random properties of a step.
#[derive(Clone, Debug)]
struct Seed {
    /// Bit n: the step needs step n, if n is smaller than its own index.
    needs: u8,
    /// Its sort key in the file.
    order: u8,
    timeout_s: u32,
    attempts: u32,
    condition: Option<usize>,
    compensation: Option<CompensationSeed>,
}

#[derive(Clone, Debug)]
enum CompensationSeed {
    NoCompensation,
    Default,
    Attempts(u32),
}

fn seeds() -> impl Strategy<Value = Seed> {
    let compensation = prop_oneof![
        3 => Just(None),
        1 => Just(Some(CompensationSeed::Default)),
        1 => (1..4_u32).prop_map(|attempts| Some(CompensationSeed::Attempts(attempts))),
        1 => Just(Some(CompensationSeed::NoCompensation)),
    ];
    let condition = proptest::option::weighted(0.3, 0..CONDITIONS.len());
    (
        any::<u8>(),
        any::<u8>(),
        1..90_u32,
        1..4_u32,
        condition,
        compensation,
    )
        .prop_map(
            |(needs, order, timeout_s, attempts, condition, compensation)| Seed {
                needs,
                order,
                timeout_s,
                attempts,
                condition,
                compensation,
            },
        )
}

/// The needs of each step. Steps only need steps of a smaller index, so there is no cycle. Steps that would be beside the
/// pivot are connected to it.
fn edges(seeds: &[Seed], pivot: Option<usize>) -> Vec<Vec<usize>> {
    let mut needs: Vec<Vec<usize>> = seeds
        .iter()
        .enumerate()
        .map(|(index, seed)| {
            (0..index)
                .filter(|need| seed.needs & (1 << need) != 0)
                .collect()
        })
        .collect();
    let Some(pivot) = pivot else { return needs };

    for before in 0..pivot {
        if !needs[..=pivot].iter().any(|needs| needs.contains(&before)) {
            needs[pivot].push(before);
        }
    }
    for behind in &mut needs[pivot + 1..] {
        if !behind.iter().any(|need| *need >= pivot) {
            behind.push(pivot);
        }
    }
    needs
}

fn write(seeds: &[Seed], pivot: Option<usize>, secret: bool) -> String {
    let needs = edges(seeds, pivot);
    let mut order: Vec<usize> = (0..seeds.len()).collect();
    order.sort_by_key(|index| (seeds[*index].order, *index));

    let mut text = String::from("workflow: random\nversion: 1\ndeadline: 1h\n");
    if secret {
        text.push_str("sensitive: [input.secret, steps.s0.secret]\n");
    }
    text.push_str("steps:\n");
    for (position, index) in order.iter().enumerate() {
        let above = position.checked_sub(1).map(|above| order[above]);
        step(
            &mut text,
            *index,
            &seeds[*index],
            &needs[*index],
            above,
            pivot,
        )
        .expect("writing to a String cannot fail");
    }
    text
}

fn step(
    text: &mut String,
    index: usize,
    seed: &Seed,
    needs: &[usize],
    above: Option<usize>,
    pivot: Option<usize>,
) -> std::fmt::Result {
    writeln!(text, "  - name: s{index}")?;
    if needs != above.as_slice() {
        let names: Vec<String> = needs.iter().map(|need| format!("s{need}")).collect();
        writeln!(text, "    needs: [{}]", names.join(", "))?;
    }

    writeln!(text, "    timeout: {}s", seed.timeout_s)?;
    if seed.timeout_s.is_multiple_of(3) {
        writeln!(text, "    reminder: {}s", seed.timeout_s / 3)?;
    }
    if let Some(condition) = seed.condition {
        writeln!(text, "    when: \"{}\"", CONDITIONS[condition])?;
    }

    // Behind the pivot, a compensation and a number of attempts are invalid.
    if pivot == Some(index) {
        writeln!(text, "    pivot: true")?;
    }
    if pivot.is_some_and(|pivot| index > pivot) {
        return match seed.compensation {
            Some(CompensationSeed::NoCompensation) => writeln!(text, "    compensation: false"),
            _ => writeln!(text, "    retry: {{ first: 1s }}"),
        };
    }
    writeln!(text, "    retry: {{ attempts: {} }}", seed.attempts)?;
    match &seed.compensation {
        None => Ok(()),
        Some(CompensationSeed::NoCompensation) => writeln!(text, "    compensation: false"),
        Some(CompensationSeed::Default) => writeln!(text, "    compensation: true"),
        Some(CompensationSeed::Attempts(attempts)) => {
            writeln!(
                text,
                "    compensation: {{ timeout: 5s, retry: {{ attempts: {attempts} }} }}"
            )
        }
    }
}
