//! B3: a command carries the revision that decided it; none forward after the turn's, none back after the pivot's.

use crate::testing::{STARTED_AT, Scene};
use std::time::Duration;

#[test]
fn b3_command_carries_its_revision_and_time() {
    let scene = Scene::new("a; b").after(&["start", "+5s a completed"]);
    let [command] = scene.commands()[..] else {
        panic!("one command")
    };
    assert_eq!(command.revision, 2);
    assert_eq!(command.decided_at, STARTED_AT + Duration::from_secs(5));
    assert_eq!(command.deadline, STARTED_AT + Duration::from_secs(7200));
    assert_eq!(command.happened, None);
    assert_eq!(command.input.steps.keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn i5_no_forward_command_follows_the_rollback() {
    for turn in ["cancel", "b failed for good", "fail b", "undeliverable b"] {
        let mut scene =
            Scene::new("a; b:a; c:a; d:b,c").after(&["start", "a completed", "c failed", turn]);
        let rolled_back = scene.saga().rollback.clone().unwrap().revision;
        assert_eq!(rolled_back, scene.saga().revision);
        for input in [
            "c completed",
            "b completed",
            "b accepted",
            "+30s timer",
            "retry",
            "resume",
            "complete b",
        ] {
            scene.apply_line(input);
            let late = scene
                .commands()
                .into_iter()
                .filter(|command| command.happened.is_none());
            assert_eq!(late.count(), 0, "{turn}, {input}");
        }
    }
}

#[test]
fn i5_no_compensation_follows_the_pivot() {
    let mut scene = Scene::new("a; p pivot; c; d").after(&["start", "a completed", "p completed"]);
    for input in [
        "cancel",
        "+3h timer",
        "c failed for good",
        "cancel",
        "retry",
        "fail c",
        "undo a completed",
        "timer",
    ] {
        scene.apply_line(input);
        assert!(
            scene
                .commands()
                .iter()
                .all(|command| command.happened.is_none()),
            "{input}"
        );
        assert!(scene.saga().rollback.is_none(), "{input}");
    }
}
