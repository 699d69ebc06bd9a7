//! Sensitive values are masked, and nothing else changes.

use super::valid;
use crate::definition::{Definition, PayloadSource, redact};
use saga_protocol::Payload;

fn definition(sensitive: &str) -> Definition {
    valid(&format!(
        "workflow: w\nversion: 1\nsensitive: [{sensitive}]\nsteps: [{{name: pay}}, {{name: store}}]\n"
    ))
}

fn shown(sensitive: &str, source: PayloadSource<'_>, text: &str) -> String {
    let payload = Payload::parse(text.to_owned()).expect("the test's payload is JSON");
    redact(&definition(sensitive), source, &payload)
        .get()
        .to_owned()
}

#[test]
fn sensitive_paths_are_masked() {
    let cases = [
        (
            r#"{"payment":{"token":"tok_visa","method":"card"}}"#,
            r#"{"payment":{"token":"•••","method":"card"}}"#,
        ),
        (
            r#"{"payment":{"token":{"a":[1]}}}"#,
            r#"{"payment":{"token":"•••"}}"#,
        ),
        (
            r#"{"payment":{"token":null}}"#,
            r#"{"payment":{"token":"•••"}}"#,
        ),
        (
            r#"{"payment":[{"token":1},[{"token":2,"x":3}],5]}"#,
            r#"{"payment":[{"token":"•••"},[{"token":"•••","x":3}],5]}"#,
        ),
        (
            r#"[{"payment":{"token":1}}]"#,
            r#"[{"payment":{"token":"•••"}}]"#,
        ),
        (
            r#"{"payment":{"\u0074oken":1,"token":2}}"#,
            r#"{"payment":{"token":"•••","token":"•••"}}"#,
        ),
        (
            r#"{"payment":{"method":"card"}}"#,
            r#"{"payment":{"method":"card"}}"#,
        ),
        (r#"{"payment":"tok_visa"}"#, r#"{"payment":"tok_visa"}"#),
        ("5", "5"),
        ("null", "null"),
    ];
    for (text, expected) in cases {
        assert_eq!(
            shown("input.payment.token", PayloadSource::Input, text),
            expected
        );
    }
}

#[test]
fn other_values_keep_their_bytes() {
    let text = r#"{"z": 1.0e2, "token": "t", "a": {"k" : [12345678901234567890123, "\u00e9"]}}"#;
    let expected = r#"{"z":1.0e2,"token":"•••","a":{"k" : [12345678901234567890123, "\u00e9"]}}"#;
    assert_eq!(shown("input.token", PayloadSource::Input, text), expected);
    assert_eq!(
        shown("input.token", PayloadSource::Output("pay"), text),
        text,
        "without a path the very bytes"
    );
}

#[test]
fn sensitive_path_names_its_payload() {
    let text = r#"{"token":"t","receipt":"r"}"#;
    let sensitive = "input.token, steps.pay.receipt";
    assert_eq!(
        shown(sensitive, PayloadSource::Input, text),
        r#"{"token":"•••","receipt":"r"}"#
    );
    assert_eq!(
        shown(sensitive, PayloadSource::Output("pay"), text),
        r#"{"token":"t","receipt":"•••"}"#
    );
    assert_eq!(shown(sensitive, PayloadSource::Output("store"), text), text);
}

#[test]
fn several_paths_may_share_their_way() {
    let text = r#"{"card":{"number":1,"cvc":2,"name":"n"},"x":{"cvc":3}}"#;
    let expected = r#"{"card":{"number":"•••","cvc":"•••","name":"n"},"x":{"cvc":3}}"#;
    assert_eq!(
        shown(
            "input.card.number, input.card.cvc",
            PayloadSource::Input,
            text
        ),
        expected
    );
    assert_eq!(
        shown("input.card, input.card.cvc", PayloadSource::Input, text),
        r#"{"card":"•••","x":{"cvc":3}}"#
    );
}

#[test]
fn arrays_within_arrays_do_not_overflow_the_stack() {
    let text = "[".repeat(100_000) + &"]".repeat(100_000);
    let expected = "[".repeat(128) + "\"•••\"" + &"]".repeat(128);
    assert_eq!(shown("input.token", PayloadSource::Input, &text), expected);
}
