//! C4: a command that Kafka refuses, an output over its limit.

use crate::testing::{ID, Scene};
use crate::transition::{Decision, Input, MAX_PAYLOAD_BYTES, input::Complete};
use saga_protocol::Payload;
use saga_protocol::message::{MAX_OUTPUT_BYTES, Reply, ReplyOutcome, code};
use saga_protocol::{Action, Failure};

#[test]
fn c4_a_command_that_kafka_refuses_fails_its_step_for_good() {
    let scene = Scene::of("a; b")
        .after(&["start", "a completed"])
        .goes_on(&[(
            "undeliverable b",
            "compensating | a completed, b compensating | undo b#1",
        )]);
    let error = scene.saga().steps[1].execute.error.clone().unwrap();
    assert_eq!(error, Failure::permanent(code::UNDELIVERABLE, "too large"));
    Scene::of("p pivot; c")
        .after(&["start", "p completed"])
        .goes_on(&[
            ("undeliverable c", "parked | p completed, c failed"),
            ("undeliverable c", "ignored: stale"),
        ]);
}

#[test]
fn c4_a_compensation_that_kafka_refuses_parks_its_saga() {
    Scene::of("a").after(&["start", "cancel"]).goes_on(&[
        ("undeliverable a", "ignored: stale"),
        ("undeliverable undo a", "parked | a compensating"),
        ("undeliverable undo a", "ignored: stale"),
        ("retry", "compensating | a compensating | undo a#2"),
    ]);
}

#[test]
fn c4_a_refusal_that_no_longer_matters_changes_nothing() {
    let mut answered = Scene::of("a; b").after(&["start", "a completed"]);
    assert_eq!(answered.does("undeliverable a"), "ignored: stale");
    assert_eq!(answered.does("undeliverable x"), "ignored: unknown_step");
    assert_eq!(answered.does("undeliverable undo a"), "ignored: stale");
    assert_eq!(
        Scene::of("a")
            .after(&["start", "a completed"])
            .does("undeliverable a"),
        "ignored: already_ended"
    );
    assert_eq!(
        Scene::of("a")
            .after(&["start", "a failed"])
            .does("undeliverable a"),
        "ignored: stale"
    );
    let accepted = Scene::of("a")
        .after(&["start", "+30s timer", "+1s timer", "a accepted @1"])
        .does("undeliverable a");
    assert_eq!(accepted, "ignored: stale", "another attempt was accepted");
    let mut asked = Scene::of("a").after(&["start", "a accepted", "+30s timer"]);
    assert_eq!(
        asked.does("undeliverable a"),
        "compensating | a compensating | undo a#1 happened"
    );
}

fn of_bytes(bytes: usize) -> Payload {
    Payload::parse(format!("\"{}\"", "x".repeat(bytes - 2))).unwrap()
}

fn completed(scene: &Scene, step: &str, action: Action, bytes: usize) -> Decision {
    let reply = Reply {
        saga_id: ID,
        step: step.to_owned(),
        action,
        attempt: 1,
        outcome: ReplyOutcome::Completed,
        output: Some(of_bytes(bytes)),
        empty: false,
        retry_after: None,
        error: None,
    };
    scene.apply(&Input::Reply(reply))
}

#[test]
fn c4_an_output_over_its_limit_is_a_final_failure() {
    let scene = Scene::of("a; b").after(&["start"]);
    let Decision::Applied(moved) = completed(&scene, "a", Action::Execute, MAX_OUTPUT_BYTES) else {
        panic!("not moved")
    };
    assert_eq!(moved.saga.steps[0].status.as_str(), "completed");
    let Decision::Applied(moved) = completed(&scene, "a", Action::Execute, MAX_OUTPUT_BYTES + 1)
    else {
        panic!("not moved")
    };
    let [a, _] = &moved.saga.steps[..] else {
        panic!("two steps")
    };
    assert_eq!(
        (a.status.as_str(), a.happened, &a.output),
        ("compensating", true, &None)
    );
    assert_eq!(a.execute.error.as_ref().unwrap().code, code::INVALID_REPLY);
    let behind = Scene::of("p pivot; c").after(&["start", "p completed"]);
    let Decision::Applied(moved) = completed(&behind, "c", Action::Execute, MAX_OUTPUT_BYTES + 1)
    else {
        panic!("not moved")
    };
    assert_eq!(moved.saga.status.as_str(), "parked");
}

#[test]
fn c4_all_outputs_together_have_a_limit() {
    let mut scene = Scene::of("a; b").with_input(&format!(
        "\"{}\"",
        "x".repeat(MAX_PAYLOAD_BYTES - MAX_OUTPUT_BYTES)
    ));
    scene.does("start");
    let Decision::Applied(moved) = completed(&scene, "a", Action::Execute, MAX_OUTPUT_BYTES - 2)
    else {
        panic!("not moved")
    };
    assert_eq!(moved.saga.steps[0].status.as_str(), "completed");
    let Decision::Applied(moved) = completed(&scene, "a", Action::Execute, MAX_OUTPUT_BYTES - 1)
    else {
        panic!("not moved")
    };
    assert_eq!(moved.saga.steps[0].status.as_str(), "compensating");
}

#[test]
fn c4_an_output_over_its_limit_by_hand_is_refused() {
    let scene = Scene::of("a").after(&["start"]);
    let complete = |bytes| {
        let output = of_bytes(bytes);
        scene.apply(&Input::Complete(Complete {
            step: "a".to_owned(),
            output,
            reason: String::new(),
            by: "someone".to_owned(),
        }))
    };
    assert!(matches!(complete(MAX_OUTPUT_BYTES), Decision::Applied(_)));
    assert!(matches!(
        complete(MAX_OUTPUT_BYTES + 1),
        Decision::Rejected(_)
    ));
}

#[test]
fn c4_words_about_a_compensation_do_not_hold_it_up() {
    let scene = Scene::of("a").after(&["start", "cancel"]);
    let Decision::Applied(moved) = completed(&scene, "a", Action::Compensate, MAX_OUTPUT_BYTES + 1)
    else {
        panic!("not moved")
    };
    assert_eq!(moved.saga.status.as_str(), "compensated");
    assert_eq!(
        moved.saga.steps[0].compensation.as_ref().unwrap().output,
        None
    );
}
