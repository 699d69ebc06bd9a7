//! B3: a command carries the revision that decided it; none forward after the turn's, none back after the pivot's.

use crate::testing::{BEGINNING, Scene};
use std::time::Duration;

#[test]
fn b3_every_command_says_which_revision_decided_it_and_when() {
    let scene = Scene::of("a; b").after(&["start", "+5s a completed"]);
    let [command] = scene.commands()[..] else {
        panic!("one command")
    };
    assert_eq!(command.revision, 2);
    assert_eq!(command.decided_at, BEGINNING + Duration::from_secs(5));
    assert_eq!(command.deadline, BEGINNING + Duration::from_secs(7200));
    assert_eq!(command.happened, None);
    assert_eq!(command.input.steps.keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn i5_no_forward_command_follows_the_turn() {
    for turn in ["cancel", "b failed for good", "fail b", "undeliverable b"] {
        let mut scene =
            Scene::of("a; b:a; c:a; d:b,c").after(&["start", "a completed", "c failed", turn]);
        let turned = scene.saga().rollback.clone().unwrap().revision;
        assert_eq!(turned, scene.saga().revision);
        for input in [
            "c completed",
            "b completed",
            "b accepted",
            "+30s timer",
            "retry",
            "resume",
            "complete b",
        ] {
            scene.does(input);
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
    let mut scene = Scene::of("a; p pivot; c; d").after(&["start", "a completed", "p completed"]);
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
        scene.does(input);
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
