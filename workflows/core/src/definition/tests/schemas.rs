//! What a payload must be like, and what a schema may be.

use super::{diagnostics, valid};
use crate::definition::{Definition, Schema, SchemaViolation, limits};
use saga_protocol::Payload;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn with(schema: &Value) -> String {
    json!({"workflow": "w", "version": 1, "input_schema": schema, "steps": [{"name": "a"}]})
        .to_string()
}

fn schema(schema: &Value) -> Schema {
    valid(&with(schema)).input_schema.unwrap()
}

fn violations(of: &Value, payload: &Value) -> Vec<String> {
    let found = schema(of)
        .check(&Payload::from(payload.clone()))
        .err()
        .unwrap_or_default();
    found.iter().map(SchemaViolation::to_string).collect()
}

#[test]
fn each_part_that_does_not_fit_has_its_pointer_and_no_value() {
    let of = json!({
        "type": "object",
        "required": ["customer", "items"],
        "properties": {
            "customer": {"type": "string", "minLength": 1},
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1},
            "fulfilment": {"enum": ["delivery", "pickup"]},
        },
        "additionalProperties": false,
        "$defs": {"item": {"type": "object", "properties": {"a/b": {"type": "integer", "maximum": 9}}}},
    });
    assert_eq!(
        violations(
            &of,
            &json!({"customer": "c", "items": [{"a/b": 9}], "fulfilment": "pickup"})
        ),
        [""; 0]
    );
    let wrong = json!({"items": [{}, {"a/b": 123456}], "fulfilment": "secret", "surplus": 1});
    let mut found = violations(&of, &wrong);
    found.sort();
    let expected = [
        "#/customer is missing",
        "#/fulfilment it is not one of \"delivery\" or \"pickup\"",
        "#/items/1/a~1b it is greater than the maximum of 9",
        "#/surplus is not known",
    ];
    assert_eq!(found, expected);
    assert!(
        found
            .iter()
            .all(|violation| !violation.contains("secret") && !violation.contains("123456"))
    );
    assert_eq!(
        violations(&of, &json!(7)),
        ["# it is not of type \"object\""]
    );
}

#[test]
fn unparsable_payload_violates_every_schema() {
    let any = schema(&json!({"type": "array"}));
    let deep = Payload::parse(format!("{}{}", "[".repeat(127), "]".repeat(127))).unwrap();
    assert_eq!(any.check(&deep), Ok(()));
    let deeper = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deeper = Payload::parse(deeper).unwrap();
    assert!(
        any.check(&deeper).unwrap_err()[0]
            .detail
            .starts_with("is nested too deeply")
    );
}

#[test]
fn schema_is_part_of_the_digest() {
    let text = "\
workflow: w
version: 1
input_schema: { type: object, required: [a] }
steps:
  - name: a
    output_schema:
      type: object
      properties: { n: { type: number, minimum: 0.5 } }
  - name: b
";
    let definition = valid(text);
    assert_eq!(valid(&definition.canonical()), definition);
    assert!(
        definition.steps[0].output_schema.is_some() && definition.steps[1].output_schema.is_none()
    );
    assert_ne!(
        definition.digest(),
        valid(&text.replace("0.5", "0.6")).digest()
    );
    let without = valid("{workflow: w, version: 1, steps: [{name: a}]}").canonical();
    assert!(!without.contains("schema"), "{without}");
}

/// Each is refused with that rule.
#[test]
fn schema_reference_out_or_in_a_cycle_is_rejected() {
    let table = [
        (
            "schema-reference",
            json!({"$ref": "https://example.com/s.json"}),
        ),
        ("schema-reference", json!({"$ref": "file:///etc/passwd"})),
        (
            "schema-reference",
            json!({"properties": {"a": {"$ref": "other.yaml#/a"}}}),
        ),
        ("schema-reference", json!({"$ref": "#/$defs/gone"})),
        ("schema-reference", json!({"$ref": "#"})),
        (
            "schema-reference",
            json!({"properties": {"a": {"$ref": "#"}}}),
        ),
        (
            "schema-reference",
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
        ),
        (
            "schema-reference",
            json!({"$id": "https://example.com/s.json"}),
        ),
        ("schema-reference", json!({"$dynamicRef": "#a"})),
        (
            "schema-reference",
            json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
        ),
        ("schema", json!({"type": "text"})),
        ("schema", json!({"properties": {"a": {"pattern": "("}}})),
        ("schema", json!({"pattern": "(?=a)b"})),
        ("schema", json!({"pattern": "(a)\\1"})),
        ("schema", json!([1])),
    ];
    for (rule, schema) in table {
        let lines = diagnostics(&with(&schema));
        assert!(
            lines[0].contains(&format!(": {rule}: ")),
            "{schema}: {lines:?}"
        );
    }
    valid(&with(
        &json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}),
    ));
    valid(&with(
        &json!({"properties": {"$id": {"type": "string"}, "$ref": {"type": "string"}}}),
    ));
}

#[test]
fn oversized_schema_is_rejected_at_once() {
    // Each doubles the one before: 2³⁰ schemas.
    let mut bomb = json!({"$ref": "#/$defs/d30", "$defs": {"d0": {"type": "object"}}});
    for n in 1..=30 {
        let below = json!({"$ref": format!("#/$defs/d{}", n - 1)});
        bomb["$defs"][format!("d{n}")] = json!({"allOf": [below, {"properties": {"a": below}}]});
    }
    let chain: serde_json::Map<_, _> = (0..900)
        .map(|n| {
            (
                format!("d{n}"),
                json!({"$ref": format!("#/$defs/d{}", n + 1)}),
            )
        })
        .collect();
    let mut chain = json!({"$ref": "#/$defs/d0", "$defs": chain});
    chain["$defs"]["d900"] = json!({"type": "object"});
    let patterns: Vec<_> = (0..51)
        .map(|n| json!({"pattern": format!("^a{n}$")}))
        .collect();
    let table = [
        ("a bomb", "schema-too-large", bomb),
        ("a chain", "schema-too-large", chain),
        (
            "many patterns",
            "schema-too-large",
            json!({"allOf": patterns}),
        ),
        (
            "many schemas",
            "schema-too-large",
            json!({"allOf": vec![json!({}); limits::MAX_SUBSCHEMAS]}),
        ),
        (
            "many bytes",
            "schema-too-large",
            json!({"description": "x".repeat(limits::MAX_SCHEMA_BYTES)}),
        ),
        (
            "a large pattern",
            "schema",
            json!({"pattern": "((a{100}){100}){100}"}),
        ),
    ];
    for (name, rule, schema) in table {
        let began = Instant::now();
        let lines = diagnostics(&with(&schema));
        assert!(
            lines[0].contains(&format!(": {rule}: ")),
            "{name}: {lines:?}"
        );
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{name} took {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn largest_schema_check_takes_bounded_time() {
    let narrow = json!({"type": "array", "items": {"allOf": vec![json!({"minimum": 0}); limits::MAX_SUBSCHEMAS - 2]}});
    let schema = schema(&narrow);
    let payload = Payload::from(json!(vec![
        1;
        saga_protocol::message::MAX_OUTPUT_BYTES / 2 - 1
    ]));
    let began = Instant::now();
    assert_eq!(schema.check(&payload), Ok(()));
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "it took {:?}",
        began.elapsed()
    );
}

#[test]
fn definition_with_schemas_is_send_and_sync() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Definition>();
}
