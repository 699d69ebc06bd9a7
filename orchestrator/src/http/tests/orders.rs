use super::{Fixture, order_body, response_id};
use axum::http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn placed_order_is_returned_and_shown() {
    let fixture = Fixture::new().await;
    let placed = fixture
        .post_with("/orders", &[("x-correlation-id", "c-42")], &order_body())
        .await;
    assert_eq!(placed.status, 202);
    assert_eq!(placed.header("x-correlation-id"), "c-42");
    assert_eq!(placed.header("content-type"), "application/json");
    let id = response_id(&placed);
    assert_eq!(placed.header("location"), format!("/orders/{id}"));

    let order = placed.json();
    let expected = json!({
        "id": id, "status": "ordered", "customer": "c-1", "store": "s-1",
        "items": [{"menu": "big mac", "quantity": 2, "price": 550}], "amount": 1100, "currency": "EUR",
        "fulfilment": "delivery",
        "saga": {"id": id, "status": "running", "steps": [
            {"name": "order", "status": "running"}, {"name": "pay", "status": "pending"},
            {"name": "store", "status": "pending"}, {"name": "deliver", "status": "pending"}]},
        "_links": {"self": {"href": format!("/orders/{id}")}, "saga": {"href": format!("/sagas/{id}")},
            "cancel": {"href": format!("/orders/{id}/cancel")}, "status": {"href": format!("/orderStatuses/{id}")}},
    });
    assert_eq!(order, expected);
    let shown = fixture.get(&format!("/orders/{id}")).await;
    assert_eq!((shown.status.as_u16(), shown.json()), (200, expected));
    assert!(!shown.text().contains("tok_visa"));

    let saga = fixture.get(&format!("/sagas/{id}")).await.json();
    assert_eq!(
        (&saga["key"], &saga["correlation_id"]),
        (&json!(id), &json!("c-42"))
    );
    assert_eq!(saga["input"]["order_id"], json!(id));
    assert_eq!(saga["input"]["payment"]["token"], "•••");
}

#[tokio::test]
async fn currency_defaults_to_the_configured_one() {
    let fixture = Fixture::new().await;
    let mut order = order_body();
    order.as_object_mut().unwrap().remove("currency");
    assert_eq!(
        fixture.post("/orders", &order).await.json()["currency"],
        "EUR"
    );
    order["currency"] = json!("CHF");
    assert_eq!(
        fixture.post("/orders", &order).await.json()["currency"],
        "CHF"
    );
}

#[tokio::test]
async fn order_status_follows_the_saga() {
    let fixture = Fixture::new().await;
    let id = fixture.place_order().await;
    let status = async || fixture.get(&format!("/orders/{id}")).await.json()["status"].clone();
    assert_eq!(status().await, "ordered");
    fixture.reply_completed(id, "order").await;
    assert_eq!(status().await, "ordered");
    fixture.reply_completed(id, "pay").await;
    assert_eq!(status().await, "paid");
    fixture.reply_accepted(id, "store").await;
    assert_eq!(status().await, "accepted");
    fixture
        .post(
            &format!("/sagas/{id}/steps/store/complete"),
            &json!({"output": {"ticket": 1}}),
        )
        .await;
    assert_eq!(status().await, "delivering");
    fixture.reply_completed(id, "deliver").await;
    assert_eq!(status().await, "delivered");
}

#[tokio::test]
async fn order_status_reflects_the_rollback_cause() {
    let fixture = Fixture::new().await;
    let shown = async |id| fixture.get(&format!("/orders/{id}")).await.json()["status"].clone();

    let declined = fixture.place_order().await;
    fixture.reply_completed(declined, "order").await;
    fixture.reply_failed(declined, "pay", "declined").await;
    assert_eq!(shown(declined).await, "cancelling");
    fixture.compensate_all(declined).await;
    assert_eq!(shown(declined).await, "declined");

    let cancelled = fixture.place_order().await;
    fixture
        .post(&format!("/orders/{cancelled}/cancel"), &json!({}))
        .await;
    fixture.compensate_all(cancelled).await;
    assert_eq!(shown(cancelled).await, "cancelled");

    let failed = fixture.place_order().await;
    fixture.reply_failed(failed, "order", "price_changed").await;
    fixture.compensate_all(failed).await;
    assert_eq!(shown(failed).await, "failed");

    let parked = fixture.place_order().await;
    fixture.reply_completed(parked, "order").await;
    fixture.reply_failed(parked, "pay", "declined").await;
    fixture.reply_failed(parked, "pay", "gateway_closed").await;
    assert_eq!(shown(parked).await, "attention");
}

#[tokio::test]
async fn prefer_wait_responds_with_the_payment_result() {
    let fixture = Fixture::new().await;
    let wait = [
        ("prefer", "wait=10, respond-async"),
        ("x-correlation-id", "c-w"),
    ];
    let order = order_body();
    let placed = async || fixture.post_with("/orders", &wait, &order).await;
    let worker = async |declined: bool| {
        let id = fixture.running_saga("order").await;
        fixture.reply_completed(id, "order").await;
        if declined {
            fixture.reply_failed(id, "pay", "declined").await;
        } else {
            fixture.reply_completed(id, "pay").await;
        }
        id
    };
    let (paid, id) = tokio::join!(placed(), worker(false));
    assert_eq!(
        (paid.status.as_u16(), paid.json()["status"].clone()),
        (201, json!("paid"))
    );
    assert_eq!(paid.header("location"), format!("/orders/{id}"));
    assert_eq!(paid.header("preference-applied"), "wait=10, respond-async");
    fixture.reply_completed(id, "store").await;
    fixture.reply_completed(id, "deliver").await;

    let (declined, id) = tokio::join!(placed(), worker(true));
    let problem = declined.problem(402);
    assert_eq!(problem["order_id"], json!(id));
    assert_eq!(problem["detail"], "declined: rejected by the worker");
    assert_eq!(declined.header("location"), format!("/orders/{id}"));
    assert_eq!(
        declined.header("preference-applied"),
        "wait=10, respond-async"
    );

    let pending = fixture
        .post_with("/orders", &[("prefer", "wait=0")], &order_body())
        .await;
    assert_eq!(
        (
            pending.status.as_u16(),
            pending.header("preference-applied")
        ),
        (202, "wait=0")
    );
}

#[tokio::test]
async fn return_minimal_omits_the_body() {
    let fixture = Fixture::new().await;
    let placed = fixture
        .post_with("/orders", &[("prefer", "return=minimal")], &order_body())
        .await;
    assert_eq!((placed.status.as_u16(), placed.body.len()), (202, 0));
    assert!(placed.header("location").starts_with("/orders/"));
    assert_eq!(placed.header("preference-applied"), "return=minimal");
    let refused = fixture
        .post_with("/orders", &[("prefer", "return=minimal")], &json!({}))
        .await;
    refused.problem(422);
}

#[tokio::test]
async fn all_invalid_fields_of_an_order_are_reported() {
    let fixture = Fixture::new().await;
    let mut order = order_body();
    order["customer"] = json!("");
    order["store"] = json!(7);
    order["items"] = json!([
        {"menu": "x", "quantity": 0, "price": 10_000_001}, {"menu": "y", "quantity": 1.5, "price": -1, "size": "L"}
    ]);
    order["currency"] = json!("eur");
    order["fulfilment"] = json!("drone");
    order["payment"] = json!({"method": "cash", "token": "t".repeat(201)});
    order["coupon"] = json!("X");
    let refused = fixture.post("/orders", &order).await;
    let pointers = refused.pointers();
    let mut expected = [
        "#/customer",
        "#/store",
        "#/items/0/quantity",
        "#/items/0/price",
        "#/items/1/quantity",
        "#/items/1/price",
        "#/items/1/size",
        "#/currency",
        "#/fulfilment",
        "#/payment/method",
        "#/payment/token",
        "#/coupon",
    ];
    expected.sort_unstable();
    assert_eq!(pointers, expected);

    for (edit, pointer) in [
        (json!({"items": []}), "#/items"),
        (
            json!({"items": vec![json!({"menu": "x", "quantity": 1, "price": 1}); 101]}),
            "#/items",
        ),
        (json!({"items": {}}), "#/items"),
        (json!({"payment": null}), "#/payment"),
        (json!({"customer": "a\u{0}b"}), "#/customer"),
        (json!({"customer": "ä".repeat(201)}), "#/customer"),
    ] {
        let mut order = order_body();
        order
            .as_object_mut()
            .unwrap()
            .extend(edit.as_object().unwrap().clone());
        assert_eq!(fixture.post("/orders", &order).await.pointers(), [pointer]);
    }
    assert_eq!(fixture.post("/orders", &json!([])).await.pointers(), ["#"]);
    let largest_item = json!({"menu": "m", "quantity": 100, "price": 10_000_000});
    let largest = json!({"customer": "ä".repeat(200), "store": "s", "items": vec![largest_item; 100],
        "fulfilment": "pickup", "payment": {"method": "card", "token": "t"}});
    assert_eq!(
        fixture.post("/orders", &largest).await.json()["amount"],
        Value::from(100_000_000_000_u64)
    );
}

#[tokio::test]
async fn saga_of_another_workflow_is_not_an_order() {
    let fixture = Fixture::new().await;
    let trip = fixture.start_trip().await;
    for path in [
        format!("/orders/{trip}"),
        "/orders/7".to_owned(),
        format!("/orders/{}", uuid::Uuid::now_v7()),
    ] {
        fixture.get(&path).await.problem(404);
        fixture
            .call(Method::DELETE, &path, &[], None)
            .await
            .problem(404);
        fixture
            .call(Method::POST, &format!("{path}/cancel"), &[], None)
            .await
            .problem(404);
    }
    assert_eq!(fixture.saga(trip).await.cancel, None);
}
