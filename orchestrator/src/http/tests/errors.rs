use super::{Fixture, an_order};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::routing::get;
use serde_json::{Value, json};
use tower::ServiceExt;

async fn raw(fixture: &Fixture, body: &str, content_type: Option<&str>) -> super::Answered {
    let mut request = Request::builder().method(Method::POST).uri("/orders");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    fixture
        .send(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let fixture = Fixture::new().await;
    for body in ["", "{", "{\"customer\": \"\\ud800\"}", "nul", "{}{}"] {
        raw(&fixture, body, Some("application/json"))
            .await
            .problem(400);
    }
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    raw(&fixture, &deep, Some("application/json"))
        .await
        .problem(400);
}

#[tokio::test]
async fn the_media_type_must_be_json() {
    let fixture = Fixture::new().await;
    let body = an_order().to_string();
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/xml"),
    ] {
        assert_eq!(
            raw(&fixture, &body, content_type).await.header("accept"),
            "application/json"
        );
        raw(&fixture, &body, content_type).await.problem(415);
    }
    for content_type in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.order+json",
    ] {
        assert_eq!(
            raw(&fixture, &body, Some(content_type)).await.status,
            202,
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn a_body_over_64_kib_is_too_large() {
    let fixture = Fixture::new().await;
    let mut order = an_order();
    order["customer"] = json!("x".repeat(64 * 1024));
    fixture.post("/orders", &order).await.problem(413);
    order["customer"] = json!("x".repeat(63 * 1024));
    assert_eq!(
        fixture.post("/orders", &order).await.pointers(),
        ["#/customer"]
    );
}

#[tokio::test]
async fn no_such_path_method_or_representation() {
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
async fn a_correlation_id_is_made_where_none_is_valid() {
    let fixture = Fixture::new().await;
    for given in ["", "a b", &"x".repeat(129)] {
        let answered = fixture
            .call(Method::GET, "/livez", &[("x-correlation-id", given)], None)
            .await;
        assert!(uuid::Uuid::try_parse(answered.header("x-correlation-id")).is_ok());
    }
    let answered = fixture
        .call(
            Method::GET,
            "/nothing",
            &[("x-correlation-id", "A.b_c:d-1")],
            None,
        )
        .await;
    assert_eq!(answered.problem(404)["correlation_id"], "A.b_c:d-1");
}

async fn alone(router: Router) -> (u16, Value) {
    let router = router.layer(axum::middleware::from_fn(crate::http::around::around));
    let answered = router
        .oneshot(Request::get("/").body(Body::empty()).unwrap())
        .await
        .unwrap();
    let status = answered.status().as_u16();
    let body = axum::body::to_bytes(answered.into_body(), usize::MAX)
        .await
        .unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_handler_that_takes_too_long_are_problems() {
    async fn panics() {
        panic!("on purpose")
    }
    let (status, problem) = alone(Router::new().route("/", get(panics))).await;
    assert_eq!((status, &problem["type"]), (500, &json!("/docs#internal")));
    assert!(!problem.to_string().contains("on purpose"));
    let (status, problem) = alone(Router::new().route("/", get(std::future::pending::<()>))).await;
    assert_eq!(
        (status, &problem["type"]),
        (503, &json!("/docs#unavailable"))
    );
}

#[tokio::test]
async fn what_the_engine_says_has_its_status() {
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
async fn a_replica_that_is_leaving_says_so() {
    let fixture = Fixture::new().await;
    fixture.engine.stop().await;
    let refused = fixture.post("/orders", &an_order()).await;
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), "1");
}

#[tokio::test]
async fn an_outage_while_a_caller_waits_is_no_404_and_hides_no_start() {
    let fixture = Fixture::new().await;
    let trip = json!({"workflow": "trip", "input": {}});
    // A start waits without a look, and needs one when the time is up; its repeat has read the input and looked once.
    for (path, body) in [("/orders", an_order()), ("/sagas", trip)] {
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
            "it is durable, and was started once: {}",
            started.text()
        );
        assert!(started.header("location").starts_with(path));
        for looks in [0, 1, 2] {
            fixture.db.fail_reads_after(looks);
            let refused = place().await;
            let problem = refused.problem(503);
            assert_eq!(
                problem["type"], "/docs#unavailable",
                "{path}, after {looks} looks: {problem}"
            );
            assert_eq!(refused.header("retry-after"), "1");
        }
        fixture.db.fail_reads_after(usize::MAX);
        let repeated = place().await;
        assert_eq!(
            repeated.status,
            202,
            "what was started is there: {}",
            repeated.text()
        );
    }
}
