use super::{Fixture, order_body, response_id};
use serde_json::json;

#[tokio::test]
async fn repeated_request_returns_the_same_bytes() {
    let fixture = Fixture::new().await;
    let key = [("idempotency-key", "\"k-1\"")];
    let first = fixture.post_with("/orders", &key, &order_body()).await;
    let id = response_id(&first);
    fixture.reply_completed(id, "order").await;
    fixture.reply_completed(id, "pay").await;
    // Unquoted it is the same key.
    let again = fixture
        .post_with("/orders", &[("idempotency-key", "k-1")], &order_body())
        .await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("location"), first.header("location"));

    let waited = fixture
        .post_with(
            "/orders",
            &[("idempotency-key", "k-1"), ("prefer", "wait=5")],
            &order_body(),
        )
        .await;
    assert_eq!((waited.status.as_u16(), response_id(&waited)), (201, id));
    assert_eq!(waited.json()["status"], "paid");
}

#[tokio::test]
async fn reused_key_is_rejected_and_errors_are_not_stored() {
    let fixture = Fixture::new().await;
    let key = [("idempotency-key", "k-2")];
    fixture
        .post_with("/orders", &key, &json!({}))
        .await
        .problem(422);
    assert_eq!(
        fixture
            .post_with("/orders", &key, &order_body())
            .await
            .status,
        202
    );
    let mut other = order_body();
    other["customer"] = json!("c-2");
    let problem = fixture
        .post_with("/orders", &key, &other)
        .await
        .problem(422);
    assert_eq!(problem["type"], "/docs#idempotency-key-reused");
    // Another route is another scope.
    let saga = json!({"workflow": "trip"});
    assert_eq!(fixture.post_with("/sagas", &key, &saga).await.status, 202);
}

#[tokio::test]
async fn concurrent_requests_with_one_key_start_one_saga() {
    let fixture = Fixture::new().await;
    let (body, key) = (order_body(), [("idempotency-key", "k-3")]);
    let place = || fixture.post_with("/orders", &key, &body);
    let (a, b, c) = tokio::join!(place(), place(), place());
    assert_eq!((&a.body, &a.body), (&b.body, &c.body));
    assert_eq!(
        fixture.get("/sagas?workflow=order").await.json()["sagas"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn invalid_idempotency_key_returns_bad_request() {
    let fixture = Fixture::new().await;
    for key in ["", "\"open", &"k".repeat(256)] {
        fixture
            .post_with("/orders", &[("idempotency-key", key)], &order_body())
            .await
            .problem(400);
    }
}

#[tokio::test]
async fn stored_response_is_the_saga_as_of_its_start() {
    let fixture = Fixture::new().await;
    let (body, key) = (
        json!({"workflow": "trip", "input": {"secret": "x"}}),
        [("idempotency-key", "k-4")],
    );
    let first = fixture.post_with("/sagas", &key, &body).await;
    fixture.reply_completed(response_id(&first), "car").await;
    let again = fixture.post_with("/sagas", &key, &body).await;
    assert_eq!((again.status.as_u16(), &again.body), (202, &first.body));
    assert_eq!(again.json()["input"]["secret"], "•••");
}
