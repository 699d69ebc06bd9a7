//! What conditions say, and what they may not.

use crate::definition::{Condition, ConditionError, limits};
use proptest::prelude::*;
use saga_protocol::Payload;
use std::collections::BTreeMap;

fn evaluate(text: &str, input: &str) -> Result<bool, String> {
    let input = Payload::parse(input.to_owned()).expect("the test's input is JSON");
    let pay =
        Payload::parse(r#"{"amount": 1100, "card-type": "visa", "tries": [1, 2]}"#.to_owned())
            .expect("JSON");
    let steps = BTreeMap::from([("pay".to_owned(), pay)]);
    Condition::compile(text)
        .expect(text)
        .evaluate(&input, &steps)
}

#[test]
fn conditions_look_at_the_input_and_at_what_steps_answered() {
    let input = r#"{"fulfilment": "delivery", "items": [{"price": 550}], "total": 5.5, "none": null,
                    "big": 18446744073709551615, "flags": {"a": true}}"#;
    let cases = [
        ("input.fulfilment == \"delivery\"", true),
        ("input.fulfilment == 'pickup'", false),
        ("steps[\"pay\"].amount > 1000", true),
        ("steps.pay.amount == 1100", true),
        ("steps['pay']['card-type'] == 'visa'", true),
        ("2 in steps.pay.tries", true),
        ("has(input.a)", false),
        ("has(input.items) && size(input.items) == 1", true),
        ("has(steps.store) || input.flags.a", true),
        ("has(steps.store) && steps.store.minutes > 5", false),
        ("input.items[0].price + 1 == 551", true),
        ("input.total > 5", true),
        ("input.total == 5.5", true),
        ("input.big > 1", true),
        ("input.none == null", true),
        (
            "input.fulfilment.startsWith('deli') ? input.flags.a : false",
            true,
        ),
        ("type(input.total) == double", true),
        ("{'a': 1}.a == 1 && [1, 2][1] == 2", true),
        (
            "!(input.flags.a) || input.fulfilment in ['delivery', 'pickup']",
            true,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(evaluate(text, input), Ok(expected), "{text}");
    }
}

#[test]
fn condition_error_contains_no_values() {
    let input = r#"{"a": "secret", "n": 7}"#;
    let cases = [
        (
            "input.b",
            "the condition \"input.b\" failed: there is no \"b\"; test it with has() first",
        ),
        (
            "steps['store'].x",
            "the condition \"steps['store'].x\" failed: there is no \"store\"; test it with has() first",
        ),
        (
            "input.a",
            "the condition \"input.a\" failed: the result is of type string, expected bool",
        ),
        (
            "input.a > 1",
            "the condition \"input.a > 1\" failed: _>_ is not defined for (string, int)",
        ),
        (
            "input.n / 0 == 1",
            "the condition \"input.n / 0 == 1\" failed: division by zero",
        ),
        (
            "[1][5] == 1",
            "the condition \"[1][5] == 1\" failed: the list index is out of bounds",
        ),
        (
            "int(input.a) == 1",
            "the condition \"int(input.a) == 1\" failed: the argument of int is invalid",
        ),
        (
            "9223372036854775807 + input.n > 0",
            "the condition \"9223372036854775807 + input.n > 0\" failed: integer overflow",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(evaluate(text, input), Err(expected.to_owned()));
    }
    assert!(
        evaluate("input.a", "5").is_err(),
        "an input need not be an object"
    );
}

#[test]
fn unavailable_functions_are_rejected_by_name() {
    for name in ["all", "exists", "exists_one", "map", "filter"] {
        let refused = Condition::compile(&format!("input.items.{name}(x, x > 1)")).expect_err(name);
        let expected = format!(
            "the macro `{name}` is not available: conditions have no loops; the only macro is `has`"
        );
        assert_eq!(refused, ConditionError::Function(expected));
    }
    let text = Condition::compile("input.a.matches('(x+x+)+y')")
        .expect_err("regular expressions are refused")
        .to_string();
    assert!(text.starts_with("`matches` is not available"), "{text}");
    assert!(
        matches!(Condition::compile("sleep(5)"), Err(ConditionError::Function(text)) if text.starts_with("there is no function"))
    );
    assert!(matches!(
        Condition::compile("has(input)"),
        Err(ConditionError::Syntax(_) | ConditionError::Function(_))
    ));
    assert!(matches!(
        Condition::compile("has(input.a, input.b)"),
        Err(ConditionError::Function(_))
    ));
    assert!(matches!(
        Condition::compile("order.total > 1"),
        Err(ConditionError::Syntax(_))
    ));
    assert!(matches!(
        Condition::compile("Order{total: 1}.total > 1"),
        Err(ConditionError::Syntax(_))
    ));
    assert!(matches!(
        Condition::compile("input.?a"),
        Err(ConditionError::Syntax(_))
    ));
    for text in [
        "",
        " ",
        "input.",
        "input.a = 1",
        "if a then b",
        "\"",
        "1 +",
        "(",
        "input.a ==\n",
    ] {
        assert!(
            matches!(Condition::compile(text), Err(ConditionError::Syntax(_))),
            "{text:?}"
        );
    }
}

#[test]
fn unused_payloads_are_not_parsed() {
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    assert_eq!(evaluate("steps.pay.amount == 1100", &deep), Ok(true));
    let refused = evaluate("has(.input.a)", &deep).expect_err("the input is asked for");
    assert!(
        refused.ends_with("a payload is nested too deeply"),
        "{refused}"
    );
}

#[test]
fn expression_size_is_limited() {
    let largest = format!("{}1 > 0", "1+".repeat(48));
    assert_eq!(
        evaluate(&largest, "{}"),
        Ok(true),
        "99 nodes, deeper than a thread's own stack would take"
    );
    let nodes = Condition::compile(&format!("{}1 > 0", "1+".repeat(50)));
    assert_eq!(nodes, Err(ConditionError::Nodes(103)));
    let tokens = Condition::compile(&"(".repeat(401));
    assert_eq!(tokens, Err(ConditionError::Tokens(401)));
    assert!(
        Condition::compile(&format!("input.a == '{}'", "(".repeat(900))).is_ok(),
        "a text is one token"
    );
    let bytes = Condition::compile(&"x".repeat(limits::MAX_EXPRESSION_BYTES + 1));
    assert_eq!(bytes, Err(ConditionError::Bytes(1025)));
}

#[test]
fn deepest_expression_fits_a_small_stack() {
    let deep = [
        "(".repeat(511) + "1" + &")".repeat(511),
        "!".repeat(1000) + "true",
        "!(".repeat(300) + "true" + &")".repeat(300),
        "-".repeat(1000) + "1",
        "[".repeat(511) + &"]".repeat(511),
        "{1:".repeat(255) + "1" + &"}".repeat(255),
        "1+".repeat(500) + "1",
        "true?".repeat(200),
        "true ? true : ".repeat(70) + "true",
        "input".to_owned() + &".a".repeat(500),
        "input".to_owned() + &"[0]".repeat(300),
        "size(".repeat(170) + "1" + &")".repeat(170),
        "has(input".to_owned() + &".a".repeat(90) + ")",
        "input".to_owned() + &"[0]".repeat(40) + " == 1",
        "a.".repeat(511),
        "(".repeat(1024),
        "\"".repeat(1023),
        "?:".repeat(512),
    ];
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    let run = small.spawn(move || {
        for text in deep {
            if let Ok(when) = Condition::compile(&text) {
                let _ = when.evaluate(&Payload::empty(), &BTreeMap::new());
            }
        }
    });
    run.expect("a thread starts")
        .join()
        .expect("nothing panics");
}

#[test]
fn condition_is_serialized_as_its_text() {
    let when = Condition::compile("input.a == 1").expect("it is CEL");
    assert_eq!(when, Condition::compile("input.a == 1").expect("it is CEL"));
    assert_ne!(when, Condition::compile("input.a==1").expect("it is CEL"));
    assert_eq!(
        serde_json::to_string(&when).expect("it has a JSON form"),
        "\"input.a == 1\""
    );
    assert_eq!(
        (format!("{when:?}"), when.to_string()),
        ("\"input.a == 1\"".to_owned(), "input.a == 1".to_owned())
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_expressions_are_evaluated_or_refused(pieces in proptest::collection::vec(0..PIECES.len(), 0..25)) {
        let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        if let Ok(when) = Condition::compile(&text) {
            let _ = when.evaluate(&Payload::parse("{\"a\": [1, {\"b\": 2}]}".to_owned())?, &BTreeMap::new());
        }
    }

    #[test]
    fn random_characters_are_evaluated_or_refused(text in "\\PC{0,40}") {
        let _ = Condition::compile(&text);
    }
}

const PIECES: [&str; 32] = [
    "input", "steps", ".a", ".b", "[0]", "[\"a\"]", "(", ")", "!", "-", "1", "2.5", "7u", "\"x\"",
    "b'y'", "true", "null", " == ", " + ", " * ", " < ", " && ", " || ", " ? ", " : ", " in ", "[",
    "]", "{", "}", ",", "size(",
];
