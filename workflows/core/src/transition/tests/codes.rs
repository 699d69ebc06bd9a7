//! Errors that no further attempt follows, since the definition says so.

use crate::testing::{Scene, story};

fn code(scene: &Scene) -> (String, bool) {
    let step = &scene.saga().steps[0];
    let error = step
        .current_direction()
        .1
        .error
        .clone()
        .or(step.execute.error.clone())
        .expect("it failed");
    (error.code, error.retryable)
}

#[test]
fn a_code_that_is_not_retryable_is_final_whatever_the_worker_says() {
    let turned = "compensating | a compensating | undo a#1";
    let scene = story(
        "a final=busy",
        &[
            ("start", "running | a running | execute a#1"),
            ("a failed", turned),
        ],
    );
    assert_eq!(
        scene.saga().steps[0]
            .execute
            .error
            .as_ref()
            .map(|error| error.retryable),
        Some(false)
    );
    // Another code is retried, and so is this one where nothing is said of it.
    story(
        "a final=declined",
        &[
            ("start", "running | a running | execute a#1"),
            ("a failed", "running | a running"),
        ],
    );
    // In the step behind the one that says it, it means nothing.
    Scene::of("a final=busy; b")
        .after(&["start", "a completed"])
        .goes_on(&[
            ("b failed", "running | a completed, b running"),
            (
                "+1s timer",
                "running | a completed, b running | execute b#2",
            ),
        ]);
}

#[test]
fn it_counts_from_the_attempt_that_its_timeout_gave_up_a_moment_ago() {
    Scene::of("a final=busy")
        .after(&["start", "+30s timer"])
        .goes_on(&[
            ("a failed", "compensating | a compensating | undo a#1"),
            ("a failed", "ignored: late"),
        ]);
    Scene::of("a")
        .after(&["start", "+30s timer"])
        .goes_on(&[("a failed", "ignored: stale")]);
}

#[test]
fn a_time_out_has_a_code_too() {
    let scene = Scene::of("a final=timed_out")
        .after(&["start"])
        .goes_on(&[("+30s timer", "compensating | a compensating | undo a#1")]);
    assert_eq!(code(&scene), ("timed_out".to_owned(), false));
}

#[test]
fn behind_the_pivot_it_parks_the_saga() {
    Scene::of("p pivot; c final=busy")
        .after(&["start", "p completed"])
        .goes_on(&[
            ("c failed", "parked | p completed, c failed"),
            ("retry", "running | p completed, c running | execute c#2"),
            ("c completed", "completed | p completed, c completed"),
        ]);
}

#[test]
fn a_compensation_has_codes_of_its_own() {
    let scene = Scene::of("a undo-final=busy")
        .after(&["start", "cancel"])
        .goes_on(&[("undo a failed", "parked | a compensating")]);
    assert_eq!(code(&scene), ("busy".to_owned(), false));
    Scene::of("a final=busy")
        .after(&["start", "cancel"])
        .goes_on(&[("undo a failed", "compensating | a compensating")]);
}
