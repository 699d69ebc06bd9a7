use super::{Fixture, order_body};
use crate::http::middleware;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::routing::get;
use serde_json::{Value, json};
use tower::ServiceExt;

async fn post_raw(
    fixture: &Fixture,
    body: &str,
    content_type: Option<&str>,
) -> super::TestResponse {
    let mut request = Request::builder().method(Method::POST).uri("/orders");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    fixture
        .send(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

#[tokio::test]
async fn invalid_json_returns_bad_request() {
    let fixture = Fixture::new().await;
    for body in ["", "{", "{\"customer\": \"\\ud800\"}", "nul", "{}{}"] {
        post_raw(&fixture, body, Some("application/json"))
            .await
            .problem(400);
    }
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    post_raw(&fixture, &deep, Some("application/json"))
        .await
        .problem(400);
}

#[tokio::test]
async fn other_media_type_returns_unsupported_media_type() {
    let fixture = Fixture::new().await;
    let body = order_body().to_string();
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/xml"),
    ] {
        assert_eq!(
            post_raw(&fixture, &body, content_type)
                .await
                .header("accept"),
            "application/json"
        );
        post_raw(&fixture, &body, content_type).await.problem(415);
    }
    for content_type in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.order+json",
    ] {
        assert_eq!(
            post_raw(&fixture, &body, Some(content_type)).await.status,
            202,
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn order_over_64_kib_returns_payload_too_large() {
    let fixture = Fixture::new().await;
    let mut order = order_body();
    order["customer"] = json!("x".repeat(64 * 1024));
    fixture.post("/orders", &order).await.problem(413);
    order["customer"] = json!("x".repeat(63 * 1024));
    assert_eq!(
        fixture.post("/orders", &order).await.pointers(),
        ["#/customer"]
    );
}

#[tokio::test]
async fn unknown_path_method_or_representation_is_a_problem() {
    let fixture = Fixture::new().await;
    fixture.get("/nothing/here").await.problem(404);
    fixture.get("/sagas/%FF").await.problem(404);
    fixture.get("/sagas/not-an-id").await.problem(404);
    let simple = uuid::Uuid::now_v7().simple().to_string();
    fixture.get(&format!("/sagas/{simple}")).await.problem(404);
    fixture
        .post(
            &format!("/sagas/{}/retry", uuid::Uuid::now_v7()),
            &json!({}),
        )
        .await
        .problem(404);
    for (method, path, allow) in [
        (Method::PATCH, "/orders", "POST"),
        (Method::POST, "/workers", "GET,HEAD"),
        (Method::PUT, "/livez", "GET,HEAD"),
    ] {
        let refused = fixture.call(method, path, &[], None).await;
        refused.problem(405);
        assert_eq!(refused.header("allow"), allow);
    }
    fixture
        .call(Method::GET, "/sagas", &[("accept", "text/html")], None)
        .await
        .problem(406);
    assert_eq!(
        fixture
            .call(
                Method::GET,
                "/sagas",
                &[("accept", "text/html, */*;q=0.1")],
                None
            )
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn invalid_correlation_id_is_replaced() {
    let fixture = Fixture::new().await;
    for invalid in ["", "a b", &"x".repeat(129)] {
        let response = fixture
            .call(
                Method::GET,
                "/livez",
                &[("x-correlation-id", invalid)],
                None,
            )
            .await;
        assert!(uuid::Uuid::try_parse(response.header("x-correlation-id")).is_ok());
    }
    let response = fixture
        .call(
            Method::GET,
            "/nothing",
            &[("x-correlation-id", "A.b_c:d-1")],
            None,
        )
        .await;
    assert_eq!(response.problem(404)["correlation_id"], "A.b_c:d-1");
}

async fn problem_of(router: Router) -> (u16, Value) {
    let router = middleware::with_layers(router);
    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();

    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(start_paused = true)]
async fn panic_and_timeout_are_problems() {
    async fn panics() {
        panic!("on purpose")
    }
    let (status, problem) = problem_of(Router::new().route("/", get(panics))).await;
    assert_eq!((status, &problem["type"]), (500, &json!("/docs#internal")));
    assert!(!problem.to_string().contains("on purpose"));
    let (status, problem) =
        problem_of(Router::new().route("/", get(std::future::pending::<()>))).await;
    assert_eq!(
        (status, &problem["type"]),
        (503, &json!("/docs#unavailable"))
    );
}

#[tokio::test]
async fn engine_errors_map_to_statuses() {
    use crate::engine::SubmitError;
    use crate::http::problem::Problem;
    use axum::response::IntoResponse;
    for (error, status) in [
        (
            SubmitError::Overloaded {
                retry_after: std::time::Duration::from_millis(10),
            },
            503,
        ),
        (SubmitError::Unavailable, 503),
        (SubmitError::ShuttingDown, 503),
        (SubmitError::NotStorable("NUL".to_owned()), 422),
    ] {
        let response = Problem::from(error).into_response();
        assert_eq!(response.status(), status);
        assert_eq!(
            response.headers().contains_key("retry-after"),
            status == 503
        );
    }
}

#[tokio::test]
async fn start_during_shutdown_returns_unavailable() {
    let fixture = Fixture::new().await;
    fixture.engine.stop().await;
    let refused = fixture.post("/orders", &order_body()).await;
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), "1");
}

#[tokio::test]
async fn outage_during_wait_hides_no_durable_start() {
    let fixture = Fixture::new().await;
    let trip = json!({"workflow": "trip", "input": {}});
    // A start reads the database when its wait ends. Its repeat reads the input, then the saga, and again when its wait ends.
    for (path, body) in [("/orders", order_body()), ("/sagas", trip)] {
        let place = async || {
            fixture
                .post_with(
                    path,
                    &[("prefer", "wait=0"), ("idempotency-key", "k")],
                    &body,
                )
                .await
        };
        fixture.db.fail_reads_after(0);
        let started = place().await;
        assert_eq!(
            started.status,
            202,
            "the start is durable: {}",
            started.text()
        );
        assert!(started.header("location").starts_with(path));
        for reads in [0, 1, 2] {
            fixture.db.fail_reads_after(reads);
            let refused = place().await;
            let problem = refused.problem(503);
            assert_eq!(
                problem["type"], "/docs#unavailable",
                "{path}, after {reads} reads: {problem}"
            );
            assert_eq!(refused.header("retry-after"), "1");
        }
        fixture.db.fail_reads_after(usize::MAX);
        let repeated = place().await;
        assert_eq!(
            repeated.status,
            202,
            "the started saga is found: {}",
            repeated.text()
        );
    }
}
