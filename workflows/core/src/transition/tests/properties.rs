//! Properties of random workflows under random inputs, including replies that no worker would send.

use crate::definition::Definition;
use crate::saga::{Saga, Status, StepStatus, Wait};
use crate::testing::{ID, STARTED_AT, start_input};
use crate::testing::{check_invariants, check_transition, definitions, inputs};
use crate::transition::input::{
    Complete, Fail, OperatorRequest, RecordedInput, Resolve, Timer, Undeliverable,
};
use crate::transition::{
    Decision, Input, SagaContext, Transition, apply, cancel_rejection, next_timer_at, start,
    waiting_for,
};
use proptest::prelude::*;
use saga_protocol::message::{Command, Reply, ReplyOutcome};
use saga_protocol::retry::RetryPolicy;
use saga_protocol::{Action, Failure};
use saga_protocol::{Payload, Time};
use std::time::Duration;

/// Enough for a workflow of eight steps to finish, with some unexpected inputs on the way.
const MAX_INPUTS: usize = 60;

/// An input that is yet to find its step.
#[derive(Clone, Debug)]
pub struct Seed {
    what: What,
    /// Counted over the steps that wait for something, or over all of them if `odd`.
    step: usize,
    odd: bool,
    /// So long after the one before; some clocks go back.
    after_ms: i64,
}

#[derive(Clone, Debug)]
enum What {
    Answer {
        outcome: ReplyOutcome,
        retryable: bool,
        empty: bool,
        attempts_ago: u32,
        other_way: bool,
    },
    TimerDue,
    Timer {
        unconsumed: bool,
    },
    Cancel,
    Complete,
    Fail,
    Retry,
    Pause,
    Resume,
    Resolve,
    Undeliverable,
}

/// Inputs for one run.
pub fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let outcome = prop_oneof![
        6 => Just(ReplyOutcome::Completed),
        2 => Just(ReplyOutcome::Accepted),
        1 => Just(ReplyOutcome::Deferred),
        3 => Just(ReplyOutcome::Failed),
    ];
    let attempts_ago = prop_oneof![6 => Just(0_u32), 1 => 1..3_u32, 1 => Just(u32::MAX)];
    let answer = (
        outcome,
        any::<bool>(),
        any::<bool>(),
        attempts_ago,
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(outcome, retryable, empty, attempts_ago, other_way)| What::Answer {
                outcome,
                retryable,
                empty,
                attempts_ago,
                other_way,
            },
        );
    let what = prop_oneof![
        30 => answer,
        8 => Just(What::TimerDue),
        3 => any::<bool>().prop_map(|unconsumed| What::Timer { unconsumed }),
        1 => Just(What::Cancel),
        1 => Just(What::Complete),
        1 => Just(What::Fail),
        2 => Just(What::Retry),
        1 => Just(What::Pause),
        2 => Just(What::Resume),
        2 => Just(What::Resolve),
        1 => Just(What::Undeliverable),
    ];
    let after_ms = prop_oneof![12 => Just(1_i64), 6 => 0..60_000_i64, 1 => -60_000..0_i64, 1 => 0..4_000_000_i64];
    let seed = (what, any::<usize>(), prop::bool::weighted(0.15), after_ms).prop_map(
        |(what, step, odd, after_ms)| Seed {
            what,
            step,
            odd,
            after_ms,
        },
    );
    prop::collection::vec(seed, 1..MAX_INPUTS)
}

impl Seed {
    /// Which step it is about: mostly one that something is expected of.
    fn step(&self, saga: &Saga) -> usize {
        let waits: Vec<_> = (0..saga.steps.len())
            .filter(|step| saga.steps[*step].current_direction().1.wait.is_some())
            .collect();
        if self.odd || waits.is_empty() {
            self.step % saga.steps.len()
        } else {
            waits[self.step % waits.len()]
        }
    }

    fn input(&self, saga: &Saga) -> Input {
        let step = &saga.steps[self.step(saga)];
        let name = step.name.clone();
        let (action, attempts) = step.current_direction();
        let by = || "someone".to_owned();
        let reason = || OperatorRequest {
            reason: "because".to_owned(),
            by: by(),
        };
        match &self.what {
            What::Answer {
                outcome,
                retryable,
                empty,
                attempts_ago,
                other_way,
            } => Input::Reply(Reply {
                saga_id: ID,
                step: name,
                action: match (other_way, action) {
                    (false, action) => action,
                    (true, Action::Execute) => Action::Compensate,
                    (true, Action::Compensate) => Action::Execute,
                },
                attempt: attempts.attempt.wrapping_sub(*attempts_ago),
                outcome: *outcome,
                output: (*outcome == ReplyOutcome::Completed)
                    .then(|| Payload::from(serde_json::json!(self.after_ms))),
                empty: *empty,
                retry_after: (*outcome == ReplyOutcome::Deferred).then_some(Duration::from_secs(7)),
                error: Some(Failure {
                    code: "c".to_owned(),
                    message: "m".to_owned(),
                    retryable: *retryable,
                }),
            }),
            What::TimerDue => Input::Timer(Timer::default()),
            What::Timer { unconsumed } => Input::Timer(Timer {
                unconsumed: *unconsumed,
                steps: if *unconsumed { vec![name] } else { Vec::new() },
            }),
            What::Cancel => Input::Cancel(reason()),
            What::Complete => Input::Complete(Complete {
                step: name,
                output: Payload::null(),
                reason: String::new(),
                by: by(),
            }),
            What::Fail => Input::Fail(Fail {
                step: name,
                error: Failure::permanent("c", "m"),
                by: by(),
            }),
            What::Retry => Input::Retry(reason()),
            What::Pause => Input::Pause(reason()),
            What::Resume => Input::Resume(reason()),
            What::Resolve => Input::Resolve(Resolve {
                step: name,
                note: "n".to_owned(),
                by: by(),
            }),
            What::Undeliverable => Input::Undeliverable(Undeliverable {
                step: name,
                action,
                attempt: attempts.attempt,
                message: "too large".to_owned(),
            }),
        }
    }

    fn at(&self, saga: &Saga, now: Time) -> Time {
        match (&self.what, next_timer_at(saga)) {
            (What::TimerDue, Some(at)) => now.max(at),
            _ => Time::from_micros(now.micros() + self.after_ms * 1000),
        }
    }
}

/// All that came of a run.
pub struct Run {
    definition: Definition,
    input: Payload,
    /// The saga after its start and after each input.
    states: Vec<Saga>,
    history: Vec<RecordedInput>,
    commands: Vec<Command>,
}

/// Applies them one after the other, and checks each saga and each move.
pub fn run(definition: Definition, input: Payload, seeds: &[Seed]) -> Result<Run, TestCaseError> {
    let context = SagaContext {
        definition: &definition,
        input: &input,
    };
    let mut now = STARTED_AT;
    let born = start(context, &start_input(&input), now);
    prop_assert_eq!(check_invariants(&born.saga, &definition), Ok(()));
    let mut commands: Vec<_> = born.commands().cloned().collect();
    let mut states = vec![born.saga];
    let mut history = Vec::new();
    for seed in seeds {
        let saga = states.last().expect("it has begun");
        now = seed.at(saga, now);
        let applied = RecordedInput {
            at: now,
            input: seed.input(saga),
        };
        let decision = apply(context, saga, &applied.input, now);
        prop_assert_eq!(
            &decision,
            &apply(context, saga, &applied.input, now),
            "the same twice"
        );
        if let Decision::Applied(transition) = &decision {
            let Transition { saga: after, .. } = &**transition;
            prop_assert_eq!(
                check_transition(saga, transition, &definition),
                Ok(()),
                "by {:?}",
                applied
            );
            prop_assert_eq!(
                check_invariants(after, &definition),
                Ok(()),
                "by {:?}: {:?}",
                applied,
                after
            );
            commands.extend(transition.commands().cloned());
        }
        prop_assert_eq!(
            matches!(applied.input, Input::Cancel(_))
                && cancel_rejection(&definition, saga).is_some(),
            matches!(
                decision,
                Decision::Rejected(crate::transition::Rejection::CancelTooLate(_))
            )
        );
        let after = match decision {
            Decision::Applied(transition) => transition.saga,
            Decision::Ignored(_) | Decision::Rejected(_) => saga.clone(),
        };
        states.push(after);
        history.push(applied);
    }
    Ok(Run {
        definition,
        input,
        states,
        history,
        commands,
    })
}

impl Run {
    fn context(&self) -> SagaContext<'_> {
        SagaContext {
            definition: &self.definition,
            input: &self.input,
        }
    }

    fn last(&self) -> &Saga {
        self.states.last().expect("it has begun")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn i5_holds_for_random_runs(definition in definitions(), input in inputs(), seeds in seeds()) {
        keeps_i5(&run(definition, input, &seeds)?)?;
    }

    #[test]
    fn i6_replay_of_random_runs_gives_the_same_bytes(
        definition in definitions(), input in inputs(), seeds in seeds()
    ) {
        replays(&run(definition, input, &seeds)?)?;
    }

    #[test]
    fn finished_saga_never_changes(definition in definitions(), input in inputs(), seeds in seeds()) {
        stays_finished(&run(definition, input, &seeds)?)?;
    }

    #[test]
    fn c5_timer_is_exact_in_random_runs(definition in definitions(), input in inputs(), seeds in seeds()) {
        wakes_exactly(&run(definition, input, &seeds)?)?;
    }

    #[test]
    fn i1_every_random_saga_can_finish(definition in definitions(), input in inputs(), seeds in seeds()) {
        can_end(&run(definition, input, &seeds)?)?;
    }

    #[test]
    fn retry_delays_follow_their_schedule(definition in definitions(), input in inputs(), seeds in seeds()) {
        keeps_its_schedule(&run(definition, input, &seeds)?)?;
    }
}

/// After the nth failure the next attempt waits for `first · factor^(n−1)`, at most `max`, give or take the jitter.
fn keeps_its_schedule(run: &Run) -> Result<(), TestCaseError> {
    for pair in run.states.windows(2) {
        for (step, defined) in run.definition.steps.iter().enumerate() {
            let (action, attempts) = pair[1].steps[step].current_direction();
            let before = pair[0].steps[step].current_direction();
            let failed = before.0 == action && before.1.failures < attempts.failures;
            let (true, Some(Wait::Retry(at))) = (failed, attempts.wait) else {
                continue;
            };
            let revokes = RetryPolicy::COMPENSATION;
            let retry = match action {
                Action::Execute => &defined.retry,
                Action::Compensate => defined
                    .compensation
                    .as_ref()
                    .map_or(&revokes, |it| &it.retry),
            };
            let mut plain = retry.first.as_secs_f64();
            for _ in 1..attempts.failures {
                plain *= retry.factor;
            }
            let plain = plain.min(retry.max.as_secs_f64());
            let waits = at.since(pair[1].updated_at).as_secs_f64();
            let most = plain * retry.jitter + 0.000_002;
            prop_assert!(
                (waits - plain).abs() <= most,
                "{waits} s after {} failures of {retry:?}",
                attempts.failures
            );
        }
    }
    Ok(())
}

fn keeps_i5(run: &Run) -> Result<(), TestCaseError> {
    let turned_at = run.last().rollback.as_ref().map(|turn| turn.revision);
    let pivot_at = run.definition.pivot().and_then(|pivot| {
        let over = |saga: &&Saga| {
            matches!(
                saga.steps[pivot].status,
                StepStatus::Completed | StepStatus::Skipped
            )
        };
        run.states.iter().find(over).map(|saga| saga.revision)
    });
    for command in &run.commands {
        match command.action {
            Action::Execute => prop_assert!(turned_at.is_none_or(|turn| command.revision <= turn)),
            Action::Compensate => {
                prop_assert!(pivot_at.is_none_or(|pivot| command.revision <= pivot))
            }
        }
    }
    let mut names: Vec<_> = run.commands.iter().map(Command::id).collect();
    names.sort_unstable();
    names.dedup();
    prop_assert_eq!(
        names.len(),
        run.commands.len(),
        "no command is decided twice"
    );
    Ok(())
}

fn replays(run: &Run) -> Result<(), TestCaseError> {
    let context = run.context();
    let mut replayed = start(context, &start_input(&run.input), STARTED_AT)
        .saga
        .to_json()
        .unwrap();
    prop_assert_eq!(&replayed, &run.states[0].to_json().unwrap());
    for (applied, state) in run.history.iter().zip(&run.states[1..]) {
        let applied: RecordedInput =
            serde_json::from_str(&serde_json::to_string(applied).unwrap()).unwrap();
        let saga = Saga::from_json(&replayed).unwrap();
        prop_assert_eq!(&saga.to_json().unwrap(), &replayed);
        if let Decision::Applied(transition) = apply(context, &saga, &applied.input, applied.at) {
            replayed = transition.saga.to_json().unwrap();
        }
        prop_assert_eq!(&replayed, &state.to_json().unwrap(), "after {:?}", applied);
    }
    Ok(())
}

fn stays_finished(run: &Run) -> Result<(), TestCaseError> {
    let ended = run.states.iter().position(|saga| saga.status.is_finished());
    if let Some(ended) = ended {
        prop_assert!(
            run.states[ended..]
                .iter()
                .all(|saga| *saga == run.states[ended])
        );
    }
    Ok(())
}

fn wakes_exactly(run: &Run) -> Result<(), TestCaseError> {
    let context = run.context();
    let timer = Input::Timer(Timer::default());
    for saga in &run.states {
        let far = Time::from_micros(STARTED_AT.micros() + 400 * 86_400_000_000);
        let Some(at) = next_timer_at(saga) else {
            let moves = matches!(apply(context, saga, &timer, far), Decision::Applied(_));
            prop_assert!(
                !moves,
                "nothing wakes it, and yet something comes due: {saga:?}"
            );
            continue;
        };
        let due = matches!(apply(context, saga, &timer, at), Decision::Applied(_));
        prop_assert!(due, "nothing is due at {at}: {saga:?}");
        if at > saga.updated_at {
            let early = apply(context, saga, &timer, Time::from_micros(at.micros() - 1));
            prop_assert!(
                !matches!(early, Decision::Applied(_)),
                "something is due before {at}: {saga:?}"
            );
        }
    }
    Ok(())
}

/// I1: whatever has happened, it ends as soon as workers answer and an operator settles what is parked.
fn can_end(run: &Run) -> Result<(), TestCaseError> {
    let mut saga = run.last().clone();
    for _ in 0..4 * run.definition.steps.len() + 4 {
        if saga.status.is_finished() {
            break;
        }
        prop_assert!(
            waiting_for(&run.definition, &saga, saga.updated_at)
                .is_some_and(|text| !text.is_empty())
        );
        for input in helps(&saga) {
            if let Decision::Applied(transition) =
                apply(run.context(), &saga, &input, saga.updated_at)
            {
                saga = transition.saga;
            }
        }
    }
    prop_assert!(saga.status.is_finished(), "{saga:?}");
    Ok(())
}

/// What workers that do their work, and operators, would say to it.
fn helps(saga: &Saga) -> Vec<Input> {
    let reason = || OperatorRequest {
        reason: "r".to_owned(),
        by: "b".to_owned(),
    };
    let mut inputs = vec![Input::Resume(reason())];
    for step in &saga.steps {
        let (action, attempts) = step.current_direction();
        let by_hand = || "b".to_owned();
        inputs.push(match attempts.wait {
            Some(crate::saga::Wait::Operator) if action == Action::Compensate => {
                Input::Resolve(Resolve {
                    step: step.name.clone(),
                    note: "n".to_owned(),
                    by: by_hand(),
                })
            }
            Some(_) => match action {
                Action::Execute => Input::Complete(Complete {
                    step: step.name.clone(),
                    output: Payload::empty(),
                    reason: String::new(),
                    by: by_hand(),
                }),
                Action::Compensate => Input::Reply(Reply {
                    saga_id: ID,
                    step: step.name.clone(),
                    action,
                    attempt: attempts.attempt,
                    outcome: ReplyOutcome::Completed,
                    output: None,
                    empty: false,
                    retry_after: None,
                    error: None,
                }),
            },
            None => continue,
        });
    }
    inputs
}

#[test]
fn random_runs_reach_every_status() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut sagas = std::collections::BTreeSet::new();
    let mut steps = std::collections::BTreeSet::new();
    for _ in 0..300 {
        let (definition, input, seeds) = (definitions(), inputs(), seeds())
            .new_tree(&mut runner)
            .unwrap()
            .current();
        for saga in run(definition, input, &seeds).unwrap().states {
            sagas.insert(saga.status);
            steps.extend(saga.steps.iter().map(|step| step.status));
        }
    }
    assert_eq!(sagas.into_iter().collect::<Vec<_>>(), Status::ALL);
    assert_eq!(steps.into_iter().collect::<Vec<_>>(), StepStatus::ALL);
}
