//! An output that its step's schema does not allow is a final failure, and by hand it is not taken.

use crate::definition::Definition;
use crate::testing::Scene;
use crate::transition::{Decision, Rejection};
use saga_protocol::message::code;

/// The workflow of that line, its first step bound to put out a number.
fn scene(line: &str) -> Scene {
    let scene = Scene::new(line);
    let mut json: serde_json::Value = serde_json::from_str(&scene.definition.canonical()).unwrap();
    let last = json["steps"].as_array().unwrap().len() - 1;
    json["steps"][last]["output_schema"] = serde_json::json!({"required": ["n"]});
    Scene {
        definition: Definition::parse("schemas.yaml", &json.to_string()).unwrap(),
        ..scene
    }
}

#[test]
fn schema_violation_fails_its_step() {
    let scene = scene("a; b").after(&["start", "a completed"]).play(&[
        // It happened: so its compensation is to undo it.
        (
            "b completed",
            "compensating | a completed, b compensating | undo b#1 happened",
        ),
    ]);
    let error = scene.saga().steps[1].execute.error.clone().unwrap();
    assert_eq!(
        (error.code.as_str(), error.retryable),
        (code::INVALID_OUTPUT, false)
    );
    assert_eq!(
        error.message,
        "the output violates the step's output_schema: #/n is missing"
    );
    assert_eq!(scene.saga().steps[1].output, None);
}

#[test]
fn output_that_fits_its_schema_completes_the_step() {
    let mut scene = scene("a").after(&["start"]);
    scene.definition = {
        let json = scene
            .definition
            .canonical()
            .replace("[\"n\"]", "[\"from\"]");
        Definition::parse("schemas.yaml", &json).unwrap()
    };
    assert_eq!(scene.apply_line("a completed"), "completed | a completed");
}

#[test]
fn behind_the_pivot_an_output_that_does_not_fit_parks_the_saga() {
    scene("p pivot; c")
        .after(&["start", "p completed"])
        .play(&[("c completed", "parked | p completed, c failed")]);
}

#[test]
fn by_hand_an_output_that_does_not_fit_is_refused() {
    let mut scene = scene("a").after(&["start", "a accepted"]);
    let (_, decision) = scene.decide_line("complete a");
    let Decision::Rejected(Rejection::SchemaViolation(violations)) = decision else {
        panic!("{decision:?}")
    };
    assert_eq!(
        violations
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["#/n is missing"]
    );
}
