//! `/openapi.json`: made from the handlers, so that it cannot leave one out.

use super::problem::{MEDIA_TYPE, ProblemBody};
use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

/// The document's frame; the routes are added by the router.
pub(super) fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Saga orchestrator")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Carries a business transaction that spans several services to one of two ends: all done, or all undone. \
             Every refusal is an RFC 9457 problem. X-Correlation-Id is taken, made if missing, and echoed.",
        ))
        .license(Some(utoipa::openapi::License::new("Apache-2.0")))
        .build();
    OpenApiBuilder::new().info(info).build()
}

/// The document as JSON, each refusal with the shape of a problem.
pub(super) fn finish(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("an OpenAPI document has a JSON form");
    document["components"]["schemas"]["Problem"] = json!(ProblemBody::schema());
    document["components"]["schemas"]["FieldMistake"] =
        json!(super::problem::FieldMistake::schema());
    let operations = document["paths"]
        .as_object_mut()
        .into_iter()
        .flatten()
        .filter_map(|(_, path)| path.as_object_mut());
    for (_, operation) in operations.flatten() {
        refusals(&mut operation["responses"]);
    }
    document
}

/// Every status from 400 on that has no content yet is a problem; and so is any that is not named.
fn refusals(responses: &mut Value) {
    let Some(responses) = responses.as_object_mut() else {
        return;
    };
    for (status, response) in &mut *responses {
        if status.starts_with(['4', '5']) && response.get("content").is_none() {
            let status = status.parse().unwrap_or(400);
            response["content"] = content(status);
        }
    }
    responses
        .entry("default")
        .or_insert_with(|| json!({"description": "Any other refusal", "content": content(400)}));
}

fn content(status: u16) -> Value {
    let kind = super::problem::Kind::ALL
        .iter()
        .find(|kind| kind.status().as_u16() == status);
    let (slug, title) = kind.map_or(("refused", "The request was refused"), |kind| {
        (kind.slug(), kind.title())
    });
    let mut example = json!({
        "type": format!("/docs#{slug}"), "title": title, "status": status,
        "detail": "what is wrong this time", "correlation_id": "c-1",
    });
    if status == 422 {
        example["errors"] = json!([{"pointer": "#/items/0/quantity", "detail": "must be a whole number from 1 to 100"}]);
    }
    json!({MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}})
}
