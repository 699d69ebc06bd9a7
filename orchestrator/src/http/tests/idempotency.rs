use super::{Fixture, an_order, id_of};
use serde_json::json;

#[tokio::test]
async fn the_same_request_again_gets_the_same_bytes() {
    let fixture = Fixture::new().await;
    let key = [("idempotency-key", "\"k-1\"")];
    let first = fixture.post_with("/orders", &key, &an_order()).await;
    let id = id_of(&first);
    fixture.done(id, "order").await;
    fixture.done(id, "pay").await;
    // Unquoted it is the same key.
    let again = fixture
        .post_with("/orders", &[("idempotency-key", "k-1")], &an_order())
        .await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("location"), first.header("location"));

    let waited = fixture
        .post_with(
            "/orders",
            &[("idempotency-key", "k-1"), ("prefer", "wait=5")],
            &an_order(),
        )
        .await;
    assert_eq!((waited.status.as_u16(), id_of(&waited)), (201, id));
    assert_eq!(waited.json()["status"], "paid");
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused_and_refusals_are_not_kept() {
    let fixture = Fixture::new().await;
    let key = [("idempotency-key", "k-2")];
    fixture
        .post_with("/orders", &key, &json!({}))
        .await
        .problem(422);
    assert_eq!(
        fixture.post_with("/orders", &key, &an_order()).await.status,
        202
    );
    let mut other = an_order();
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
async fn two_at_the_same_moment_start_one() {
    let fixture = Fixture::new().await;
    let (body, key) = (an_order(), [("idempotency-key", "k-3")]);
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
async fn a_key_that_cannot_be_read_is_refused() {
    let fixture = Fixture::new().await;
    for key in ["", "\"open", &"k".repeat(256)] {
        fixture
            .post_with("/orders", &[("idempotency-key", key)], &an_order())
            .await
            .problem(400);
    }
}

#[tokio::test]
async fn a_saga_s_stored_answer_is_the_saga_as_of_its_start() {
    let fixture = Fixture::new().await;
    let (body, key) = (
        json!({"workflow": "trip", "input": {"secret": "x"}}),
        [("idempotency-key", "k-4")],
    );
    let first = fixture.post_with("/sagas", &key, &body).await;
    fixture.done(id_of(&first), "car").await;
    let again = fixture.post_with("/sagas", &key, &body).await;
    assert_eq!((again.status.as_u16(), &again.body), (202, &first.body));
    assert_eq!(again.json()["input"]["secret"], "•••");
}
