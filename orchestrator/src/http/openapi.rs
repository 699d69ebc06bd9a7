//! `/openapi.json`, derived from the handlers and their types.

use super::problem::{FieldError, MEDIA_TYPE, ProblemBody, ProblemKind};
use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::{InfoBuilder, License, OpenApi, OpenApiBuilder};

/// The document without paths; the router adds them.
pub(super) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Saga orchestrator")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Runs business transactions that span several services: every saga is either completed or compensated. \
             Errors are RFC 9457 problems. A valid X-Correlation-Id is kept, a missing one is generated; all responses \
             contain it.",
        ))
        .license(Some(License::new("MIT OR Apache-2.0")))
        .build();

    OpenApiBuilder::new().info(info).build()
}

/// The document as JSON, with a problem as the content of all error responses.
pub(super) fn with_problems(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("a document serializes to JSON");
    document["components"]["schemas"]["Problem"] = json!(ProblemBody::schema());
    document["components"]["schemas"]["FieldError"] = json!(FieldError::schema());

    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.filter_map(|(_, path)| path.as_object_mut()).flatten();
    for (_, operation) in operations {
        add_problems(&mut operation["responses"]);
    }

    document
}

/// Adds the content of error responses without any, and a default response for errors that are not listed.
fn add_problems(responses: &mut Value) {
    let Some(responses) = responses.as_object_mut() else {
        return;
    };

    for (status, response) in &mut *responses {
        if status.starts_with(['4', '5']) && response.get("content").is_none() {
            response["content"] = problem_content(status.parse().unwrap_or(400));
        }
    }

    responses.entry("default").or_insert_with(
        || json!({"description": "Another error", "content": problem_content(400)}),
    );
}

fn problem_content(status: u16) -> Value {
    let kind = ProblemKind::ALL
        .iter()
        .find(|kind| kind.status().as_u16() == status);
    let kind = kind.copied().unwrap_or(ProblemKind::Other);

    let mut example = json!({
        "type": format!("/docs#{}", kind.slug()),
        "title": kind.title(),
        "status": status,
        "detail": "details of this error",
        "correlation_id": "c-1",
    });
    if kind.status().as_u16() == 422 {
        let error = FieldError::new("#/items/0/quantity", "must be an integer from 1 to 100");
        example["errors"] = json!([error]);
    }

    json!({MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}})
}
