//! What a valid definition means: defaults, needs, positions, and its identity.

use super::valid;
use crate::definition::{Definition, Position, built_in};
use crate::testing;
use proptest::prelude::*;
use saga_protocol::retry::RetryPolicy;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn built_in_definitions_are_valid() {
    for built_in in built_in::ALL {
        let definition = Definition::parse(built_in.file, built_in.text)
            .unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        assert_eq!(
            Definition::parse("canonical", &definition.canonical()),
            Ok(definition),
            "{}",
            built_in.file
        );
    }
}

#[test]
fn order_workflow_has_four_steps() {
    let order = valid(built_in::ORDER.text);
    assert_eq!(
        (order.workflow.as_str(), order.version, order.deadline),
        ("order", 1, 7200 * SECOND)
    );
    assert_eq!(order.sensitive, ["input.payment.token"]);
    let steps: Vec<_> = order
        .steps
        .iter()
        .map(|step| (step.name.as_str(), step.position, step.timeout))
        .collect();
    let expected = [
        ("order", Position::Before, 30 * SECOND),
        ("pay", Position::Before, 30 * SECOND),
        ("store", Position::Before, 900 * SECOND),
        ("deliver", Position::Pivot, 30 * SECOND),
    ];
    assert_eq!(steps, expected);
    assert_eq!(order.pivot(), Some(3));
    assert!(
        order
            .steps
            .iter()
            .all(|step| step.compensation.is_some() && step.worker == step.name)
    );
    let when = order.steps[3].when.as_ref().map(|when| when.as_str());
    assert_eq!(when, Some("input.fulfilment == \"delivery\""));
}

#[test]
fn omitted_keys_have_their_defaults() {
    let definition = valid(
        "workflow: w\nversion: 1\nsteps:\n  - name: a\n  - {name: b, retry: {attempts: 3}, worker: x}\n",
    );
    assert_eq!(definition.deadline, 24 * 3600 * SECOND);
    let [a, b] = definition.steps.as_slice() else {
        panic!("there are two steps")
    };
    assert_eq!(
        (a.needs.as_slice(), a.dependents.as_slice()),
        ([].as_slice(), [1].as_slice())
    );
    assert_eq!(
        (b.needs.as_slice(), b.dependents.as_slice()),
        ([0].as_slice(), [].as_slice())
    );
    assert_eq!((a.worker.as_str(), b.worker.as_str()), ("a", "x"));
    assert_eq!(
        (a.timeout, a.position, &a.retry),
        (30 * SECOND, Position::Before, &RetryPolicy::STEP)
    );
    assert_eq!(
        b.retry,
        RetryPolicy {
            attempts: 3,
            ..RetryPolicy::STEP
        }
    );
    let compensation = a
        .compensation
        .as_ref()
        .expect("a step is compensated unless it says otherwise");
    assert_eq!(
        (compensation.timeout, &compensation.retry),
        (30 * SECOND, &RetryPolicy::COMPENSATION)
    );
}

#[test]
fn short_deadline_shortens_default_timeouts() {
    let definition = valid("{workflow: w, version: 1, deadline: 10s, steps: [{name: a}]}");
    let step = &definition.steps[0];
    let compensation = step
        .compensation
        .as_ref()
        .map(|compensation| compensation.timeout);
    assert_eq!(
        (step.timeout, compensation),
        (10 * SECOND, Some(10 * SECOND))
    );
}

#[test]
fn compensation_overrides_only_what_it_sets() {
    let text = "{workflow: w, version: 1, steps: [{name: a, compensation: {retry: {attempts: 2, jitter: 0}}}, \
                {name: b, compensation: {timeout: 5s}}, {name: c, compensation: false}, \
                {name: d, compensation: true}]}";
    let definition = valid(text);
    let how: Vec<_> = definition
        .steps
        .iter()
        .map(|step| step.compensation.clone())
        .collect();
    let [Some(a), Some(b), None, Some(d)] = how.as_slice() else {
        panic!("{how:?}")
    };
    assert_eq!(
        a.retry,
        RetryPolicy {
            attempts: 2,
            jitter: 0.0,
            ..RetryPolicy::COMPENSATION
        }
    );
    assert_eq!(
        (b.timeout, &b.retry),
        (5 * SECOND, &RetryPolicy::COMPENSATION)
    );
    assert_eq!(
        (d.timeout, &d.retry),
        (30 * SECOND, &RetryPolicy::COMPENSATION)
    );
}

#[test]
fn step_behind_the_pivot_has_retry_but_no_compensation() {
    let text = "{workflow: w, version: 1, steps: [{name: a}, {name: p, pivot: true}, \
                {name: b, retry: {first: 1s, max: 1m}}, {name: c, needs: [p], compensation: false, pivot: false}]}";
    let definition = valid(text);
    let positions: Vec<_> = definition.steps.iter().map(|step| step.position).collect();
    assert_eq!(
        positions,
        [
            Position::Before,
            Position::Pivot,
            Position::Behind,
            Position::Behind
        ]
    );
    assert_eq!(definition.steps[2].retry.first, SECOND);
    assert_eq!(definition.steps[1].dependents, [2, 3]);
    assert!(
        definition.steps[2..]
            .iter()
            .all(|step| step.compensation.is_none() && step.retries_without_limit())
    );
}

#[test]
fn codes_that_are_not_retryable_are_kept_in_one_order() {
    let text = "{workflow: w, version: 1, steps: [{name: a, retry: {not_retryable: [b, a, b]}, \
                compensation: {retry: {not_retryable: [c]}}}, {name: b}]}";
    let definition = valid(text);
    assert_eq!(definition.steps[0].retry.not_retryable, ["a", "b"]);
    assert_eq!(
        definition.steps[0]
            .compensation
            .as_ref()
            .unwrap()
            .retry
            .not_retryable,
        ["c"]
    );
    assert_eq!(valid(&definition.canonical()), definition);
    assert!(
        !valid("{workflow: w, version: 1, steps: [{name: a}]}")
            .canonical()
            .contains("not_retryable")
    );
}

#[test]
fn reminder_can_equal_the_timeout() {
    let definition = valid(
        "{workflow: w, version: 1, steps: [{name: a, timeout: 5m, reminder: 5m}, {name: b}]}",
    );
    assert_eq!(
        (definition.steps[0].reminder, definition.steps[1].reminder),
        (Some(300 * SECOND), None)
    );
    assert_eq!(valid(&definition.canonical()), definition);
}

#[test]
fn json_is_yaml() {
    let json = "{\"workflow\": \"w\",\n\t\"version\": 1, \"steps\": [{\"name\":\"a\", \
                \"when\":\"input.\\u0061 == \\\"\\ud83d\\ude00\\/\\\"\"}]}";
    let when = valid(json).steps[0]
        .when
        .clone()
        .expect("it has a condition");
    assert_eq!(when.as_str(), "input.a == \"😀/\"");
}

#[test]
fn digest_ignores_format_and_comments() {
    let one = valid(
        "# one\nworkflow: w\nversion: 1\nsensitive: [input.b, input.a]\nsteps:\n  - name: a\n  - name: b\n",
    );
    let same = "{\"version\":1,\"workflow\":\"w\",\"sensitive\":[\"input.a\",\"input.b\",\"input.a\"],\
                \"steps\":[{\"name\":\"a\",\"needs\":[],\"timeout\":\"30s\"},{\"needs\":[\"a\"],\"name\":\"b\"}]}";
    assert_eq!(one.digest(), valid(same).digest());
    assert_eq!(one.digest().len(), 64);
    let other = valid(
        "workflow: w\nversion: 1\nsensitive: [input.b, input.a]\nsteps:\n  - name: a\n  - {name: b, timeout: 29s}\n",
    );
    assert_ne!(one.digest(), other.digest());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn canonical_text_round_trips(definition in testing::definitions()) {
        let canonical = definition.canonical();
        let again = Definition::parse("canonical", &canonical).map_err(|diagnostics| {
            TestCaseError::fail(format!("{diagnostics}\n{canonical}"))
        })?;
        prop_assert_eq!(again.canonical(), canonical);
        prop_assert_eq!(again, definition);
    }

    #[test]
    fn needs_and_dependents_are_two_sides_of_one(definition in testing::definitions()) {
        for (index, step) in definition.steps.iter().enumerate() {
            for need in &step.needs {
                prop_assert!(definition.steps[*need].dependents.contains(&index));
            }
            for dependent in &step.dependents {
                prop_assert!(definition.steps[*dependent].needs.contains(&index));
                prop_assert!(step.position == Position::Before
                    || definition.steps[*dependent].position == Position::Behind);
            }
        }
    }
}
