use super::Fixture;
use axum::http::Method;
use serde_json::Value;

/// Routes that are not part of the API.
const NOT_API: &[&str] = &["/openapi.json"];

#[tokio::test]
async fn openapi_document_is_complete() {
    let fixture = Fixture::new().await;
    let response = fixture.get("/openapi.json").await;
    assert_eq!(
        (response.status.as_u16(), response.header("content-type")),
        (200, "application/json")
    );
    let document = response.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations.push(format!("{method} {path}"));
            assert!(
                operation["summary"].is_string() && operation["operationId"].is_string(),
                "{method} {path}"
            );
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("default"), "{method} {path}");
            for (status, response) in responses {
                let refusal = status.starts_with(['4', '5']) && !path.starts_with("/livez");
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                let health = path.ends_with('z') || path.starts_with("/actuator");
                assert!(
                    !refusal || health || problem == "#/components/schemas/Problem",
                    "{method} {path} {status}"
                );
            }
        }
    }
    operations.sort();
    assert_eq!(operations, EVERY_OPERATION);
    let schemas = document["components"]["schemas"].to_string();
    assert!(
        !schemas.contains("\"default\""),
        "a generated default could violate the schema"
    );
    assert!(
        dangling(&document, &document).is_empty(),
        "{:?}",
        dangling(&document, &document)
    );
    let ids: Vec<_> = operations_of(&document)
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let unique: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), unique.len(), "{ids:?}");
}

/// Each is served: none of them is response by 404 of the router, nor by 405.
#[tokio::test]
async fn every_documented_operation_is_routed() {
    let fixture = Fixture::new().await;
    for operation in EVERY_OPERATION {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path
            .replace("{id}", "0198c0de-0000-7000-8000-000000000001")
            .replace("{step}", "pay")
            .replace("{name}", "order");
        let response = fixture
            .call(
                Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
                &path,
                &[],
                None,
            )
            .await;
        assert_ne!(response.status, 405, "{operation}");
        assert!(
            !response
                .text()
                .contains(&format!("path {path} does not exist"))
                || path.ends_with("down"),
            "{operation}"
        );
    }
    assert_eq!(fixture.get(NOT_API[0]).await.status, 200);
}

const EVERY_OPERATION: &[&str] = &[
    "delete /orders/{id}",
    "get /actuator/health",
    "get /actuator/health/liveness",
    "get /actuator/health/readiness",
    "get /livez",
    "get /metrics",
    "get /orders/{id}",
    "get /readyz",
    "get /sagas",
    "get /sagas/{id}",
    "get /sagas/{id}/history",
    "get /startupz",
    "get /workers",
    "get /workflows",
    "get /workflows/{name}",
    "post /orders",
    "post /orders/{id}/cancel",
    "post /sagas",
    "post /sagas/{id}/cancel",
    "post /sagas/{id}/pause",
    "post /sagas/{id}/resume",
    "post /sagas/{id}/retry",
    "post /sagas/{id}/steps/{step}/complete",
    "post /sagas/{id}/steps/{step}/fail",
    "post /sagas/{id}/steps/{step}/resolve",
    "post /workflows",
    "post /workflows/check",
    "put /actuator/down",
];

fn operations_of(document: &Value) -> impl Iterator<Item = &Value> {
    document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
}

/// References without a target.
fn dangling(document: &Value, value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            let own = own.filter(|reference| {
                document
                    .pointer(reference.trim_start_matches('#'))
                    .is_none()
            });
            let within = fields.values().flat_map(|value| dangling(document, value));
            own.map(str::to_owned).into_iter().chain(within).collect()
        }
        Value::Array(items) => items
            .iter()
            .flat_map(|value| dangling(document, value))
            .collect(),
        _ => Vec::new(),
    }
}
