//! The situations of a step in a saga, and the inputs that are applied in each.

use super::Scene;

/// Each situation: its name, the workflow, and the inputs that lead to it.
pub const SITUATIONS: &[(&str, &str, &[&str])] = &[
    ("running, s is pending", "a; s", &["start"]),
    ("running, s is out", "a; s; z", &["start", "a completed"]),
    (
        "running, s is between two attempts",
        "a; s; z",
        &["start", "a completed", "s failed"],
    ),
    (
        "running, s is on its last attempt",
        "a; s; z",
        &["start", "a completed", "s failed", "+1s timer"],
    ),
    (
        "running, s is waiting",
        "a; s timeout=5m; z",
        &["start", "a completed", "s accepted"],
    ),
    (
        "running, s is asked once more",
        "a; s timeout=5m; z",
        &["start", "a completed", "s accepted", "+5m timer"],
    ),
    ("running, s is completed", "s; z", &["start", "s completed"]),
    ("running, s is skipped", "s when; z", &["start"]),
    (
        "running, s is a pivot that is out",
        "a; s pivot; z",
        &["start", "a completed"],
    ),
    (
        "running, s is a pivot without compensation that is out",
        "a; s pivot keep; z",
        &["start", "a completed"],
    ),
    (
        "running, s is the completed pivot",
        "s pivot; z",
        &["start", "s completed"],
    ),
    (
        "running, s is behind the pivot",
        "p pivot; s; z",
        &["start", "p completed"],
    ),
    (
        "paused, s is out",
        "a; s; z",
        &["start", "a completed", "pause"],
    ),
    (
        "paused, s is to be sent",
        "a; s; z",
        &["start", "pause", "a completed"],
    ),
    (
        "paused, s is between two attempts",
        "a; s; z",
        &["start", "a completed", "pause", "s failed"],
    ),
    (
        "paused, s is to be asked once more",
        "s timeout=5m; z",
        &["start", "s accepted", "pause", "+5m timer"],
    ),
    (
        "parked forward, s failed",
        "p pivot; s; z",
        &["start", "p completed", "s failed for good"],
    ),
    (
        "parked forward, s is out beside it",
        "p pivot; s:p; z:p",
        &["start", "p completed", "z failed for good"],
    ),
    (
        "parked forward, s is pending",
        "p pivot; z; s",
        &["start", "p completed", "z failed for good"],
    ),
    ("compensating, s is pending", "a; s", &["start", "cancel"]),
    (
        "compensating, s is skipped",
        "a; s when; z",
        &["start", "a completed", "cancel"],
    ),
    (
        "compensating, s is completed",
        "s; z",
        &["start", "s completed", "cancel"],
    ),
    (
        "compensating, s is being undone",
        "a; s",
        &["start", "a completed", "cancel"],
    ),
    (
        "compensating, s is between two attempts",
        "a; s",
        &["start", "a completed", "cancel", "undo s failed"],
    ),
    (
        "compensating, s is on its last attempt",
        "a; s",
        &[
            "start",
            "a completed",
            "cancel",
            "undo s failed",
            "+1s timer",
        ],
    ),
    (
        "compensating, s is being revoked",
        "a; s keep",
        &["start", "a completed", "cancel"],
    ),
    (
        "compensating after a failure, s is being undone",
        "a; s",
        &["start", "a completed", "s failed for good"],
    ),
    (
        "compensating, s is undone",
        "a; s",
        &["start", "a completed", "cancel", "undo s completed"],
    ),
    (
        "compensating, s was found not to have happened",
        "a; s",
        &["start", "a completed", "s failed for good", "undo s empty"],
    ),
    (
        "parked back, s is stuck",
        "a; s",
        &["start", "a completed", "cancel", "undo s failed for good"],
    ),
    (
        "parked back, s is out beside it",
        "s:-; z:-",
        &["start", "cancel", "undo z failed for good"],
    ),
    (
        "parked back, s is completed",
        "s; z",
        &["start", "s completed", "cancel", "undo z failed for good"],
    ),
    ("completed", "s", &["start", "s completed"]),
    ("compensated", "s", &["start", "cancel", "undo s completed"]),
    (
        "compensated after a failure",
        "s",
        &["start", "s failed for good", "undo s empty"],
    ),
];

/// The inputs, each for the step `s` or for the saga.
pub const INPUTS: &[&str] = &[
    "s completed",
    "s completed @0",
    "s accepted",
    "s deferred 10s",
    "s failed",
    "s failed for good",
    "undo s completed",
    "undo s empty",
    "undo s accepted",
    "undo s deferred 10s",
    "undo s failed",
    "undo s failed for good",
    "timer",
    "+10m timer",
    "+10m timer unconsumed s",
    "+2h timer",
    "cancel",
    "complete s",
    "fail s",
    "resolve s",
    "retry",
    "pause",
    "resume",
    "undeliverable s",
    "undeliverable undo s",
];

/// Builds the scene of a situation.
pub fn scene(line: &str, inputs: &[&str]) -> Scene {
    Scene::new(line).with_input(r#"{"s": false}"#).after(inputs)
}
