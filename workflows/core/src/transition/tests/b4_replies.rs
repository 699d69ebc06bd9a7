//! B4: completed and accepted count from any attempt of the direction under way, failed only from the current one.

use crate::testing::Scene;

/// Attempt 1 timed out, attempt 2 is out.
fn second_attempt() -> Scene {
    Scene::new("a; b").after(&["start", "+30s timer", "+1s timer"])
}

#[test]
fn b4_completed_and_accepted_count_from_any_attempt() {
    for attempt in ["@1", "@2"] {
        let completed = second_attempt().apply_line(&format!("a completed {attempt}"));
        assert_eq!(completed, "running | a completed, b running | execute b#1");
        assert_eq!(
            second_attempt().apply_line(&format!("a accepted {attempt}")),
            "running | a waiting"
        );
    }
}

#[test]
fn b4_failed_and_deferred_count_only_from_the_current_attempt() {
    for outcome in [
        "failed",
        "failed for good",
        "failed revoked",
        "deferred 10s",
    ] {
        assert_eq!(
            second_attempt().apply_line(&format!("a {outcome} @1")),
            "ignored: stale"
        );
        assert_ne!(
            second_attempt().apply_line(&format!("a {outcome} @2")),
            "ignored: stale"
        );
    }
}

#[test]
fn b4_reply_to_an_unsent_attempt_is_stale() {
    for outcome in ["completed", "accepted", "failed", "deferred 10s"] {
        for attempt in ["@0", "@3", "@4294967295"] {
            assert_eq!(
                second_attempt().apply_line(&format!("a {outcome} {attempt}")),
                "ignored: stale"
            );
        }
        assert_eq!(
            second_attempt().apply_line(&format!("b {outcome} @1")),
            "ignored: stale",
            "b is pending"
        );
        assert_eq!(
            second_attempt().apply_line(&format!("undo a {outcome} @1")),
            "ignored: stale",
            "not rolled_back"
        );
        assert_eq!(
            second_attempt().apply_line(&format!("x {outcome} @1")),
            "ignored: unknown_step"
        );
        let compensation = Scene::new("a")
            .after(&["start", "cancel"])
            .apply_line(&format!("undo a {outcome} @2"));
        assert_eq!(compensation, "ignored: stale");
    }
}

#[test]
fn b4_repeated_reply_changes_nothing() {
    Scene::new("a; b")
        .after(&["start", "a failed"])
        .play(&[("a failed", "ignored: stale")]);
    Scene::new("a; b")
        .after(&["start", "a deferred 10s"])
        .play(&[("a deferred 10s", "ignored: stale")]);
    Scene::new("a; b")
        .after(&["start", "a accepted"])
        .play(&[("a accepted", "ignored: duplicate")]);
    Scene::new("a; b").after(&["start", "a completed"]).play(&[
        ("a completed", "ignored: duplicate"),
        ("a accepted", "ignored: duplicate"),
        ("a failed", "ignored: stale"),
        ("a failed for good", "ignored: stale"),
        ("a deferred 10s", "ignored: stale"),
    ]);
    Scene::new("a; b")
        .after(&["start", "a completed", "cancel", "undo b failed"])
        .play(&[
            ("undo b failed", "ignored: stale"),
            ("undo b failed for good", "ignored: stale"),
            (
                "undo b completed",
                "compensating | a compensating, b compensated | undo a#1 happened",
            ),
            ("undo b completed", "ignored: duplicate"),
            ("undo b failed", "ignored: duplicate"),
        ]);
}

#[test]
fn b4_forward_reply_after_the_rollback_is_late() {
    for outcome in [
        "completed",
        "accepted",
        "failed",
        "failed for good",
        "deferred 10s",
        "completed @7",
    ] {
        let mut scene = Scene::new("a; b").after(&["start", "a completed", "cancel"]);
        assert_eq!(scene.apply_line(&format!("b {outcome}")), "ignored: late");
        assert_eq!(scene.apply_line(&format!("a {outcome}")), "ignored: late");
    }
}

#[test]
fn b4_final_failure_counts_after_its_timeout() {
    Scene::new("a; b")
        .after(&["start", "a completed", "+30s timer"])
        .play(&[
            ("b failed", "ignored: stale"),
            (
                "b failed for good",
                "compensating | a completed, b compensating | undo b#1",
            ),
        ]);
}

#[test]
fn b4_revoked_reply_is_a_final_failure() {
    let mut scene = Scene::new("a; b").after(&["start", "a completed"]);
    assert_eq!(
        scene.apply_line("b failed revoked"),
        "compensating | a completed, b compensating | undo b#1"
    );
}

#[test]
fn b4_deferral_does_not_count_as_a_failure() {
    let mut scene = Scene::new("a").after(&["start"]);
    for attempt in 2..20 {
        assert_eq!(scene.apply_line("a deferred 10s"), "running | a running");
        assert_eq!(scene.next_timer_in().unwrap().as_secs(), 10);
        assert_eq!(
            scene.apply_line("+10s timer"),
            format!("running | a running | execute a#{attempt}")
        );
    }
    assert_eq!(scene.saga().steps[0].execute.failures, 0);
    scene.apply_line("a failed");
    scene.apply_line("+1s timer");
    assert_eq!(
        scene.apply_line("a failed"),
        "compensating | a compensating | undo a#1",
        "the second of two failures"
    );
    for attempt in 2..20 {
        assert_eq!(
            scene.apply_line("undo a deferred 10s"),
            "compensating | a compensating"
        );
        assert_eq!(
            scene.apply_line("+10s timer"),
            format!("compensating | a compensating | undo a#{attempt}")
        );
    }
}

#[test]
fn b4_deferral_is_clamped_to_its_limits() {
    for (asked, secs) in [
        ("0s", 1),
        ("1ms", 1),
        ("2s", 2),
        ("5m", 300),
        ("100days", 300),
    ] {
        let scene = Scene::new("a").after(&["start", &format!("a deferred {asked}")]);
        assert_eq!(scene.next_timer_in().unwrap().as_secs(), secs, "{asked}");
    }
}

#[test]
fn b4_accepted_compensation_parks_the_saga() {
    let mut scene = Scene::new("a").after(&["start", "cancel"]);
    assert_eq!(
        scene.apply_line("undo a accepted"),
        "parked | a compensating"
    );
    let error = scene.saga().steps[0]
        .compensation
        .as_ref()
        .unwrap()
        .attempts
        .error
        .clone()
        .unwrap();
    assert_eq!(
        (error.code.as_str(), error.retryable),
        ("invalid_reply", false)
    );
}

#[test]
fn b4_completed_compensation_counts_from_any_attempt() {
    for attempt in ["@1", "@2"] {
        let mut scene = Scene::new("a").after(&["start", "cancel", "undo a failed", "+1s timer"]);
        assert_eq!(
            scene.apply_line(&format!("undo a completed {attempt}")),
            "compensated | a compensated"
        );
    }
}
