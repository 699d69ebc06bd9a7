//! A step that waits for long is told of, once for each time that it begins to wait.

use crate::testing::Scene;
use saga_protocol::message::EventType;

const STEP: &str = "a timeout=15m reminder=10m; b";

fn waiting() -> Scene {
    Scene::new(STEP).after(&["start", "+10s a accepted"])
}

/// Which step the event of the last move reminds of.
fn reminded(scene: &Scene) -> Option<&str> {
    let event = scene.event();
    (event.event_type == EventType::StepReminder)
        .then(|| event.step.as_deref().unwrap_or("the saga"))
}

#[test]
fn c5_waiting_step_has_one_reminder() {
    let mut scene = waiting();
    assert_eq!(
        scene.next_timer_in().unwrap().as_secs(),
        600,
        "the reminder comes before the timeout"
    );
    assert_eq!(scene.apply_line("+599s timer"), "ignored: stale");
    assert_eq!(scene.apply_line("+1s timer"), "running | a waiting");
    assert_eq!(reminded(&scene), Some("a"));
    assert_eq!(scene.event().data.get(), r#"{"attempt":1}"#);
    assert_eq!(scene.apply_line("timer"), "ignored: stale", "once");
    assert_eq!(
        scene.next_timer_in().unwrap().as_secs(),
        300,
        "then the timeout"
    );
    assert_eq!(
        scene.apply_line("+5m timer"),
        "running | a waiting | execute a#2"
    );
    assert_eq!(reminded(&scene), None);
}

#[test]
fn c5_finished_step_has_no_reminder() {
    for (input, wakes) in [
        ("a completed", Some(30)),
        ("fail a", Some(30)),
        ("cancel", Some(30)),
        ("complete a", Some(30)),
    ] {
        let mut scene = waiting();
        scene.apply_line(input);
        assert_eq!(scene.saga().steps[0].remind_at, None, "{input}");
        assert_eq!(
            scene.next_timer_in().map(|after| after.as_secs()),
            wakes,
            "{input}"
        );
    }
    let running = Scene::new(STEP).after(&["start"]);
    assert_eq!(
        running.saga().steps[0].remind_at,
        None,
        "it runs, and does not wait"
    );
}

#[test]
fn c5_each_reminder_is_a_transition_of_its_own() {
    let both = "a:- timeout=15m reminder=10m; b:- timeout=15m reminder=15m; c:-";
    let mut scene = Scene::new(both).after(&["start", "a accepted", "b accepted", "c completed"]);
    let mut told = Vec::new();
    for _ in 0..2 {
        assert_eq!(
            scene.apply_line("+15m timer"),
            "running | a waiting, b waiting, c completed"
        );
        told.extend(reminded(&scene).map(str::to_owned));
        assert!(
            scene.next_timer_in().unwrap().is_zero(),
            "the rest is due at once"
        );
    }
    assert_eq!(told, ["a", "b"]);
    assert_eq!(
        scene.apply_line("timer"),
        "running | a waiting, b waiting, c completed | execute a#2, execute b#2",
        "their time has ended too"
    );
}

#[test]
fn c5_deadline_precedes_a_reminder() {
    let mut scene = Scene::new("a timeout=15m reminder=10m | 15m").after(&["start", "a accepted"]);
    assert_eq!(
        scene.apply_line("+15m timer"),
        "compensating | a compensating | undo a#1 happened"
    );
    assert_eq!(reminded(&scene), None);
}

#[test]
fn b6_paused_saga_has_reminders_and_a_parked_one_none() {
    let mut paused = waiting().after(&["pause"]);
    assert_eq!(
        paused.apply_line("+10m timer"),
        "running paused | a waiting"
    );
    assert_eq!(reminded(&paused), Some("a"));
    let mut parked = Scene::new("p pivot; z:p timeout=15m reminder=10m; y:p").after(&[
        "start",
        "p completed",
        "z accepted",
        "y failed for good",
    ]);
    assert_eq!(parked.apply_line("+10m timer"), "ignored: stale");
    assert_eq!(
        parked.apply_line("y completed"),
        "running | p completed, z waiting, y completed"
    );
    assert_eq!(
        parked.apply_line("timer"),
        "running | p completed, z waiting, y completed"
    );
    assert_eq!(reminded(&parked), Some("z"));
}
