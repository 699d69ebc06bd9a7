//! Validation of request bodies against the JSON Schema that `/openapi.json` publishes.
//!
//! A body's schema is derived from its Rust type and is the only place where its limits are written. All violations of a
//! body are reported together, each with a JSON Pointer.

use super::problem::{FieldError, Problem};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The pattern of all strings that reach a text column: PostgreSQL stores no NUL.
const NO_NUL: &str = r"^[^\x00]*$";
/// A body of 64 KiB can contain thousands of violations; nobody reads more than a page of them.
const MAX_ERRORS: usize = 100;
/// A pointer repeats names that the caller chose, so its length is bounded.
const MAX_POINTER_CHARS: usize = 1_000;

/// All that a URI fragment may contain (RFC 3986, section 3.5).
const FRAGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'?');

/// The type of a JSON body. Implemented by [`request_body!`].
pub trait RequestBody: DeserializeOwned + ToSchema + 'static {
    /// The compiled schema of this type.
    fn body_schema() -> &'static BodySchema;
}

/// Implements [`RequestBody`] for types that derive `ToSchema` and `Deserialize`.
macro_rules! request_body {
    ($($body:ty),+ $(,)?) => {$(
        impl $crate::http::validation::RequestBody for $body {
            fn body_schema() -> &'static $crate::http::validation::BodySchema {
                static SCHEMA: std::sync::LazyLock<$crate::http::validation::BodySchema> =
                    std::sync::LazyLock::new(
                        $crate::http::validation::BodySchema::compile::<$body>,
                    );
                &SCHEMA
            }
        }
    )+};
}
pub(super) use request_body;

/// A schema with the component schemas that it refers to.
pub struct BodySchema {
    document: Value,
    validator: Validator,
}

impl BodySchema {
    /// Compiles the schema of a type.
    ///
    /// # Panics
    /// If the type's schema is not valid.
    pub fn compile<T: ToSchema>() -> Self {
        let mut components = Vec::new();
        T::schemas(&mut components);
        components.push((T::name().into_owned(), T::schema()));

        let schemas: serde_json::Map<_, _> = components
            .into_iter()
            .map(|(name, schema)| (name, json!(schema)))
            .collect();
        let document = json!({
            "$ref": format!("#/components/schemas/{}", T::name()),
            "components": {"schemas": schemas},
        });
        let validator = jsonschema::options()
            .offline()
            .with_pattern_options(PatternOptions::regex())
            .build(&document)
            .expect("a derived schema is valid");

        Self {
            document,
            validator,
        }
    }

    /// The maximum length of a string field of a component; 0 if the schema has no such limit.
    pub fn max_length(&self, component: &str, field: &str) -> u64 {
        let schema = &self.document["components"]["schemas"][component]["properties"][field];
        schema["maxLength"].as_u64().unwrap_or(0)
    }

    /// The violations of a body, at most [`MAX_ERRORS`].
    fn violations(&self, body: &Value) -> Vec<FieldError> {
        if self.validator.is_valid(body) {
            return Vec::new();
        }

        let mut errors: Vec<FieldError> = Vec::new();
        for error in self
            .validator
            .iter_errors(body)
            .flat_map(|error| self.field_errors(&error))
        {
            // Several keywords of one schema may fail for one value; their message is the same.
            if !errors.contains(&error) {
                errors.push(error);
            }
            if errors.len() == MAX_ERRORS {
                break;
            }
        }

        errors
    }

    fn field_errors(&self, error: &ValidationError<'_>) -> Vec<FieldError> {
        let location = error.instance_path().as_str();
        let schema = self.schema_of(error);
        let field = |name: &str, detail: String| {
            let name = name.replace('~', "~0").replace('/', "~1");
            FieldError::new(fragment_pointer(&format!("{location}/{name}")), detail)
        };

        match error.kind() {
            ValidationErrorKind::Required {
                property: Value::String(name),
            } => vec![field(name, "is missing".to_owned())],

            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let detail = format!(
                    "is not a known field; known fields: {}",
                    field_names(schema)
                );
                unexpected
                    .iter()
                    .map(|name| field(name, detail.clone()))
                    .collect()
            }

            ValidationErrorKind::Pattern { pattern } if pattern == NO_NUL => {
                let detail = "must not contain the character NUL";
                vec![FieldError::new(fragment_pointer(location), detail)]
            }

            _ => {
                let detail = expectation(schema)
                    .unwrap_or_else(|| error.masked_with("the value").to_string());
                vec![FieldError::new(fragment_pointer(location), detail)]
            }
        }
    }

    /// The schema whose keyword an error violates.
    fn schema_of(&self, error: &ValidationError<'_>) -> &Value {
        let keyword = error.schema_path().as_str();
        let schema = keyword.rsplit_once('/').map_or("", |(schema, _)| schema);

        self.document.pointer(schema).unwrap_or(&Value::Null)
    }
}

/// Reads a body of type `T` from its bytes, which are also given as a value.
///
/// # Errors
/// 422 with all violations of the schema.
pub fn read_body<T: RequestBody>(bytes: &[u8], value: &Value) -> Result<T, Problem> {
    let violations = T::body_schema().violations(value);
    if !violations.is_empty() {
        return Err(Problem::invalid_fields(violations));
    }

    // Read from the bytes rather than from the value, so that payloads keep the bytes that the caller sent.
    serde_json::from_slice(bytes).map_err(|_| deserialization_problem::<T>(bytes))
}

/// A body may match its schema and still not be readable: to JSON Schema `1.0` is an integer, and fields may repeat.
fn deserialization_problem<T: RequestBody>(bytes: &[u8]) -> Problem {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return Problem::invalid_field("#", "cannot be read");
    };

    let pointer = error.path().iter().fold(String::new(), |pointer, segment| {
        format!("{pointer}/{}", segment.to_string().trim_matches(['[', ']']))
    });
    Problem::invalid_field(fragment_pointer(&pointer), error.inner().to_string())
}

/// What a schema accepts, as a sentence about the value.
fn expectation(schema: &Value) -> Option<String> {
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().map(Value::to_string).collect();
        return Some(format!("must be {}", values.join(" or ")));
    }

    let limits = |min: &str, max: &str| (schema[min].as_u64(), schema[max].as_u64());
    let text = match schema_type(schema)? {
        "string" => match schema["pattern"]
            .as_str()
            .filter(|pattern| *pattern != NO_NUL)
        {
            Some(pattern) => format!("must be a string that matches {pattern}"),
            None => within(
                "must be a string",
                limits("minLength", "maxLength"),
                " characters",
            ),
        },
        "integer" => within("must be an integer", limits("minimum", "maximum"), ""),
        "array" => within("must be an array", limits("minItems", "maxItems"), " items"),
        "object" => "must be an object".to_owned(),
        "boolean" => "must be true or false".to_owned(),
        _ => return None,
    };
    Some(text)
}

/// The type of a schema, without `null`.
fn schema_type(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::Array(types) => types
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null"),
        name => name.as_str(),
    }
}

fn within(text: &str, limits: (Option<u64>, Option<u64>), unit: &str) -> String {
    // A number has a range, a string or an array has a size.
    let preposition = if unit.is_empty() { "from" } else { "of" };
    match limits {
        (None, None) => text.to_owned(),
        (Some(min), None) => format!("{text} {preposition} at least {min}{unit}"),
        (None, Some(max)) => format!("{text} {preposition} at most {max}{unit}"),
        (Some(min), Some(max)) => format!("{text} {preposition} {min} to {max}{unit}"),
    }
}

fn field_names(schema: &Value) -> String {
    let names: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .collect();
    let names: Vec<_> = names.into_iter().map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}

/// A JSON Pointer as a URI fragment (RFC 6901, section 6), truncated to [`MAX_POINTER_CHARS`].
pub fn fragment_pointer(pointer: &str) -> String {
    let pointer: String = pointer.chars().take(MAX_POINTER_CHARS).collect();
    format!("#{}", utf8_percent_encode(&pointer, FRAGMENT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema and its errors are of interest")]
    struct Outer {
        #[schema(min_length = 1, max_length = 3, pattern = r"^[^\x00]*$")]
        text: String,
        #[schema(max_length = 3)]
        note: Option<String>,
        #[schema(min_items = 1, max_items = 3)]
        list: Vec<Inner>,
        color: Option<Color>,
        #[schema(value_type = Option<Value>)]
        #[serde(default, deserialize_with = "saga_protocol::deserialize_some")]
        payload: Option<saga_protocol::Payload>,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema and its errors are of interest")]
    struct Inner {
        #[schema(minimum = 1, maximum = 9)]
        number: u64,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    enum Color {
        Red,
        Green,
    }

    request_body!(Outer);

    fn errors(body: &Value) -> Vec<(String, String)> {
        let problem = read_body::<Outer>(body.to_string().as_bytes(), body).unwrap_err();
        let mut errors: Vec<_> = problem
            .errors()
            .iter()
            .map(|error| (error.pointer.clone(), error.detail.clone()))
            .collect();
        errors.sort();
        errors
    }

    fn error(body: &Value) -> (String, String) {
        let mut errors = errors(body);
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.remove(0)
    }

    fn valid() -> Value {
        json!({"text": "abc", "list": [{"number": 1}]})
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = valid();
        body[field] = value;
        body
    }

    #[test]
    fn all_violations_are_reported_with_pointers() {
        let body = json!({
            "list": [{"number": 0}, 7, {"number": 1, "x y/z": 1}],
            "text": 5,
            "surplus": null,
        });
        let pointers: Vec<_> = errors(&body)
            .into_iter()
            .map(|(pointer, _)| pointer)
            .collect();

        let expected = [
            "#/list/0/number",
            "#/list/1",
            "#/list/2/x%20y~1z",
            "#/surplus",
            "#/text",
        ];
        assert_eq!(pointers, expected);
    }

    #[test]
    fn violation_says_what_is_accepted() {
        for (body, pointer, detail) in [
            (
                with("text", json!("")),
                "#/text",
                "must be a string of 1 to 3 characters",
            ),
            (
                with("text", json!("äöüß")),
                "#/text",
                "must be a string of 1 to 3 characters",
            ),
            (
                with("text", json!("a\0")),
                "#/text",
                "must not contain the character NUL",
            ),
            (
                with("note", json!("long")),
                "#/note",
                "must be a string of at most 3 characters",
            ),
            (
                with("list", json!([])),
                "#/list",
                "must be an array of 1 to 3 items",
            ),
            (with("list", json!([{}])), "#/list/0/number", "is missing"),
            (
                with("list", json!([{"number": 1.5}])),
                "#/list/0/number",
                "must be an integer from 1 to 9",
            ),
        ] {
            assert_eq!(
                error(&body),
                (pointer.to_owned(), detail.to_owned()),
                "{body}"
            );
        }
        assert_eq!(
            error(&json!([])),
            ("#".to_owned(), "must be an object".to_owned())
        );
    }

    #[test]
    fn number_with_fraction_zero_is_reported_with_its_pointer() {
        let (pointer, detail) = error(&with("list", json!([{"number": 1.0}])));

        assert_eq!(pointer, "#/list/0/number");
        assert!(detail.contains("1.0"), "{detail}");
    }

    #[test]
    fn valid_body_is_read_and_payload_keeps_its_bytes() {
        let bytes = br#"{"text":"abc","note":null,"list":[{"number":9}],"color":"red","payload":{"a":  1.0}}"#;
        let body: Outer = read_body(bytes, &serde_json::from_slice(bytes).unwrap()).unwrap();
        assert_eq!(body.payload.unwrap().get(), r#"{"a":  1.0}"#);

        let bytes = br#"{"text":"abc","list":[{"number":9}],"payload":null}"#;
        let body: Outer = read_body(bytes, &serde_json::from_slice(bytes).unwrap()).unwrap();
        assert_eq!(body.payload.unwrap().get(), "null");
    }

    #[test]
    fn number_of_errors_is_bounded() {
        let fields: serde_json::Map<_, _> = (0..1_000)
            .map(|n| (format!("field{n}"), Value::Null))
            .collect();

        assert_eq!(errors(&Value::Object(fields)).len(), MAX_ERRORS);
    }
}
