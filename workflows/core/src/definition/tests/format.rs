//! The JSON Schema of the format says what the reader says, as far as it can.

use super::{diagnostics, valid};
use crate::definition::tree;
use crate::definition::{built_in, format};
use crate::testing::texts;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::Value;

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../definitions/workflow.schema.json"
);

fn schema() -> Validator {
    jsonschema::options()
        .offline()
        .build(&format::json_schema())
        .expect("it is a JSON Schema")
}

/// A definition's file as JSON.
fn json(text: &str) -> Value {
    tree::read(text)
        .expect("it is YAML")
        .json(&mut Default::default())
        .expect("it has a JSON form")
}

fn published_schema() -> String {
    format!("{:#}\n", format::json_schema())
}

#[test]
fn published_schema_matches_the_reader() {
    assert_eq!(
        std::fs::read_to_string(FILE).unwrap(),
        published_schema(),
        "update it by `cargo test -p saga-core write_published_schema -- --ignored`"
    );
}

#[test]
#[ignore = "writes workflows/definitions/workflow.schema.json, after an intended change of the format"]
fn write_published_schema() {
    std::fs::write(FILE, published_schema()).unwrap();
}

#[test]
fn schema_accepts_the_built_in_definitions() {
    let schema = schema();
    for built_in in built_in::ALL {
        for text in [built_in.text, &valid(built_in.text).canonical()] {
            let errors: Vec<_> = schema
                .iter_errors(&json(text))
                .map(|error| error.to_string())
                .collect();
            assert_eq!(errors, [""; 0], "{}", built_in.file);
        }
        let first = built_in.text.lines().next();
        assert_eq!(
            first,
            Some("# yaml-language-server: $schema=workflow.schema.json"),
            "{}",
            built_in.file
        );
    }
}

#[test]
fn schema_and_reader_reject_the_same() {
    let schema = schema();
    let step = |step: &str| format!("workflow: w\nversion: 1\nsteps:\n  - {{name: a, {step}}}\n");
    let broken = [
        "5".to_owned(),
        "workflow: w\nversion: 1\n".to_owned(),
        "workflow: w\nversion: 1\nsteps: []\n".to_owned(),
        "workflow: w\nversion: 0\nsteps: [{name: a}]\n".to_owned(),
        "workflow: w\nversion: 2147483648\nsteps: [{name: a}]\n".to_owned(),
        "workflow: W\nversion: 1\nsteps: [{name: a}]\n".to_owned(),
        "workflow: w\nversion: 1\nsteps: [{name: -a}]\n".to_owned(),
        "workflow: w\nversion: 1\nowner: me\nsteps: [{name: a}]\n".to_owned(),
        "workflow: w\nversion: 1\ndeadline: 5\nsteps: [{name: a}]\n".to_owned(),
        "workflow: w\nversion: 1\nsensitive: [token]\nsteps: [{name: a}]\n".to_owned(),
        "workflow: w\nversion: 1\ninput_schema: 5\nsteps: [{name: a}]\n".to_owned(),
        "workflow: w\nversion: 1\nsteps: [{worker: a}]\n".to_owned(),
        format!(
            "workflow: w\nversion: 1\nsteps:\n{}",
            (0..101)
                .map(|n| format!("  - name: s{n}\n"))
                .collect::<String>()
        ),
        step("colour: red"),
        step("needs: b"),
        step("needs: [b, b]"),
        step("timeout: soon"),
        step("reminder: 5"),
        step("pivot: 'yes'"),
        step("when: 5"),
        step("worker: A"),
        step("output_schema: []"),
        step("compensation: 5"),
        step("compensation: {attempts: 5}"),
        step("retry: 5"),
        step("retry: {attempts: 0}"),
        step("retry: {attempts: 1001}"),
        step("retry: {factor: 11}"),
        step("retry: {jitter: 1.5}"),
        step("retry: {max: 5}"),
        step("retry: {tries: 5}"),
        step("retry: {not_retryable: declined}"),
        step("retry: {not_retryable: ['']}"),
        step("retry: {not_retryable: [5]}"),
    ];
    for text in &broken {
        assert!(!diagnostics(text).is_empty());
        assert!(
            !schema.is_valid(&json(text)),
            "the schema takes what the reader refuses: {text:.200}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn schema_accepts_what_the_reader_accepts(text in texts()) {
        prop_assert!(schema().is_valid(&json(&text)), "{text}");
    }
}
