//! Errors that no further attempt follows, since the definition says so.

use crate::testing::{Scene, scenario};

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
fn not_retryable_code_is_final() {
    let rolled_back = "compensating | a compensating | undo a#1";
    let scene = scenario(
        "a final=busy",
        &[
            ("start", "running | a running | execute a#1"),
            ("a failed", rolled_back),
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
    scenario(
        "a final=declined",
        &[
            ("start", "running | a running | execute a#1"),
            ("a failed", "running | a running"),
        ],
    );
    // In the step behind the one that says it, it means nothing.
    Scene::new("a final=busy; b")
        .after(&["start", "a completed"])
        .play(&[
            ("b failed", "running | a completed, b running"),
            (
                "+1s timer",
                "running | a completed, b running | execute b#2",
            ),
        ]);
}

#[test]
fn not_retryable_code_counts_after_the_timeout() {
    Scene::new("a final=busy")
        .after(&["start", "+30s timer"])
        .play(&[
            ("a failed", "compensating | a compensating | undo a#1"),
            ("a failed", "ignored: late"),
        ]);
    Scene::new("a")
        .after(&["start", "+30s timer"])
        .play(&[("a failed", "ignored: stale")]);
}

#[test]
fn timeout_code_can_be_not_retryable() {
    let scene = Scene::new("a final=timed_out")
        .after(&["start"])
        .play(&[("+30s timer", "compensating | a compensating | undo a#1")]);
    assert_eq!(code(&scene), ("timed_out".to_owned(), false));
}

#[test]
fn not_retryable_code_behind_the_pivot_parks() {
    Scene::new("p pivot; c final=busy")
        .after(&["start", "p completed"])
        .play(&[
            ("c failed", "parked | p completed, c failed"),
            ("retry", "running | p completed, c running | execute c#2"),
            ("c completed", "completed | p completed, c completed"),
        ]);
}

#[test]
fn compensation_has_its_own_not_retryable_codes() {
    let scene = Scene::new("a undo-final=busy")
        .after(&["start", "cancel"])
        .play(&[("undo a failed", "parked | a compensating")]);
    assert_eq!(code(&scene), ("busy".to_owned(), false));
    Scene::new("a final=busy")
        .after(&["start", "cancel"])
        .play(&[("undo a failed", "compensating | a compensating")]);
}
