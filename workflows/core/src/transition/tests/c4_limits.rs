//! C4: a command that Kafka refuses, an output over its limit.

use crate::testing::{ID, Scene};
use crate::transition::{Decision, Input, MAX_PAYLOAD_BYTES, input::Complete};
use saga_protocol::Payload;
use saga_protocol::message::{MAX_OUTPUT_BYTES, Reply, ReplyOutcome, code};
use saga_protocol::{Action, Failure};

#[test]
fn c4_undeliverable_command_fails_its_step() {
    let scene = Scene::new("a; b").after(&["start", "a completed"]).play(&[(
        "undeliverable b",
        "compensating | a completed, b compensating | undo b#1",
    )]);
    let error = scene.saga().steps[1].execute.error.clone().unwrap();
    assert_eq!(error, Failure::permanent(code::UNDELIVERABLE, "too large"));
    Scene::new("p pivot; c")
        .after(&["start", "p completed"])
        .play(&[
            ("undeliverable c", "parked | p completed, c failed"),
            ("undeliverable c", "ignored: stale"),
        ]);
}

#[test]
fn c4_undeliverable_compensation_parks_its_saga() {
    Scene::new("a").after(&["start", "cancel"]).play(&[
        ("undeliverable a", "ignored: stale"),
        ("undeliverable undo a", "parked | a compensating"),
        ("undeliverable undo a", "ignored: stale"),
        ("retry", "compensating | a compensating | undo a#2"),
    ]);
}

#[test]
fn c4_outdated_undeliverable_is_ignored() {
    let mut answered = Scene::new("a; b").after(&["start", "a completed"]);
    assert_eq!(answered.apply_line("undeliverable a"), "ignored: stale");
    assert_eq!(
        answered.apply_line("undeliverable x"),
        "ignored: unknown_step"
    );
    assert_eq!(
        answered.apply_line("undeliverable undo a"),
        "ignored: stale"
    );
    assert_eq!(
        Scene::new("a")
            .after(&["start", "a completed"])
            .apply_line("undeliverable a"),
        "ignored: already_ended"
    );
    assert_eq!(
        Scene::new("a")
            .after(&["start", "a failed"])
            .apply_line("undeliverable a"),
        "ignored: stale"
    );
    let accepted = Scene::new("a")
        .after(&["start", "+30s timer", "+1s timer", "a accepted @1"])
        .apply_line("undeliverable a");
    assert_eq!(accepted, "ignored: stale", "another attempt was accepted");
    let mut asked = Scene::new("a").after(&["start", "a accepted", "+30s timer"]);
    assert_eq!(
        asked.apply_line("undeliverable a"),
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
fn c4_output_over_its_limit_is_a_final_failure() {
    let scene = Scene::new("a; b").after(&["start"]);
    let Decision::Applied(transition) = completed(&scene, "a", Action::Execute, MAX_OUTPUT_BYTES)
    else {
        panic!("not transition")
    };
    assert_eq!(transition.saga.steps[0].status.as_str(), "completed");
    let Decision::Applied(transition) =
        completed(&scene, "a", Action::Execute, MAX_OUTPUT_BYTES + 1)
    else {
        panic!("not transition")
    };
    let [a, _] = &transition.saga.steps[..] else {
        panic!("two steps")
    };
    assert_eq!(
        (a.status.as_str(), a.happened, &a.output),
        ("compensating", true, &None)
    );
    assert_eq!(a.execute.error.as_ref().unwrap().code, code::INVALID_REPLY);
    let behind = Scene::new("p pivot; c").after(&["start", "p completed"]);
    let Decision::Applied(transition) =
        completed(&behind, "c", Action::Execute, MAX_OUTPUT_BYTES + 1)
    else {
        panic!("not transition")
    };
    assert_eq!(transition.saga.status.as_str(), "parked");
}

#[test]
fn c4_sum_of_outputs_is_limited() {
    let mut scene = Scene::new("a; b").with_input(&format!(
        "\"{}\"",
        "x".repeat(MAX_PAYLOAD_BYTES - MAX_OUTPUT_BYTES)
    ));
    scene.apply_line("start");
    let Decision::Applied(transition) =
        completed(&scene, "a", Action::Execute, MAX_OUTPUT_BYTES - 2)
    else {
        panic!("not transition")
    };
    assert_eq!(transition.saga.steps[0].status.as_str(), "completed");
    let Decision::Applied(transition) =
        completed(&scene, "a", Action::Execute, MAX_OUTPUT_BYTES - 1)
    else {
        panic!("not transition")
    };
    assert_eq!(transition.saga.steps[0].status.as_str(), "compensating");
}

#[test]
fn c4_output_over_its_limit_by_hand_is_rejected() {
    let scene = Scene::new("a").after(&["start"]);
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
fn c4_large_compensation_output_is_dropped() {
    let scene = Scene::new("a").after(&["start", "cancel"]);
    let Decision::Applied(transition) =
        completed(&scene, "a", Action::Compensate, MAX_OUTPUT_BYTES + 1)
    else {
        panic!("not transition")
    };
    assert_eq!(transition.saga.status.as_str(), "compensated");
    assert_eq!(
        transition.saga.steps[0]
            .compensation
            .as_ref()
            .unwrap()
            .output,
        None
    );
}
