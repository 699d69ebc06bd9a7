//! Cancelling, by `POST` and `DELETE`, in each state of an order.

use super::Fixture;
use axum::http::Method;
use serde_json::json;
use uuid::Uuid;

async fn cancel(fixture: &Fixture, id: Uuid) -> u16 {
    let response = fixture
        .post(
            &format!("/orders/{id}/cancel"),
            &json!({"reason": "changed my mind"}),
        )
        .await;
    if response.status == 202 {
        assert_eq!(response.json()["id"], json!(id));
    } else {
        response.problem(409);
    }
    response.status.as_u16()
}

async fn delete(fixture: &Fixture, id: Uuid) -> u16 {
    let response = fixture
        .call(Method::DELETE, &format!("/orders/{id}"), &[], None)
        .await;
    if response.status == 204 {
        assert!(response.body.is_empty());
    } else {
        response.problem(409);
    }
    response.status.as_u16()
}

#[derive(Clone, Copy, Debug)]
enum State {
    Running,
    Paused,
    Cancelled,
    CancelledAndCompensated,
    FailedAndRollingBack,
    FailedAndParked,
    Completed,
    PickedUp,
    FailedAndCompensated,
}

/// Places an order and brings it into a state.
async fn order_in(fixture: &Fixture, state: State) -> Uuid {
    let id = if matches!(state, State::PickedUp) {
        let mut order = super::order_body();
        order["fulfilment"] = json!("pickup");
        super::response_id(&fixture.post("/orders", &order).await)
    } else {
        fixture.place_order().await
    };
    fixture.reply_completed(id, "order").await;
    match state {
        State::Running => {}
        State::Paused => assert_eq!(
            fixture
                .post(&format!("/sagas/{id}/pause"), &json!({}))
                .await
                .status,
            200
        ),
        State::Cancelled | State::CancelledAndCompensated => {
            let body = json!({"reason": "the first"});
            assert_eq!(
                fixture
                    .post(&format!("/orders/{id}/cancel"), &body)
                    .await
                    .status,
                202
            );
        }
        State::FailedAndRollingBack | State::FailedAndParked | State::FailedAndCompensated => {
            fixture.reply_failed(id, "pay", "declined").await;
        }
        State::Completed | State::PickedUp => {
            fixture.reply_completed(id, "pay").await;
            fixture.reply_completed(id, "store").await;
        }
    }
    match state {
        State::CancelledAndCompensated | State::FailedAndCompensated => {
            fixture.compensate_all(id).await
        }
        State::FailedAndParked => fixture.reply_failed(id, "pay", "gateway_closed").await,
        State::Completed => fixture.reply_completed(id, "deliver").await,
        _ => {}
    }
    id
}

#[tokio::test]
async fn cancel_responds_as_the_contract_table_says() {
    let fixture = Fixture::new().await;
    for (row, post, deleted) in [
        (State::Running, 202, 204),
        (State::Paused, 202, 204),
        (State::Cancelled, 202, 204),
        (State::CancelledAndCompensated, 202, 204),
        (State::FailedAndRollingBack, 202, 204),
        (State::FailedAndParked, 202, 204),
        (State::Completed, 409, 409),
        (State::PickedUp, 409, 409),
        (State::FailedAndCompensated, 409, 409),
    ] {
        let posted = order_in(&fixture, row).await;
        let deleted_order = order_in(&fixture, row).await;
        let before = fixture.saga(posted).await;
        assert_eq!(cancel(&fixture, posted).await, post, "{row:?}");
        assert_eq!(delete(&fixture, deleted_order).await, deleted, "{row:?}");
        let after = fixture.saga(posted).await;
        match row {
            State::Running | State::Paused => {
                assert!(after.is_rolling_back() && !after.paused, "{row:?}")
            }
            State::Cancelled | State::CancelledAndCompensated => {
                assert_eq!(after.cancel.unwrap().reason, "the first", "{row:?}");
                assert_eq!(after.revision, before.revision, "{row:?}");
            }
            State::FailedAndRollingBack | State::FailedAndParked => {
                assert_eq!(after.cancel.unwrap().reason, "changed my mind", "{row:?}");
                assert_eq!(
                    (after.status, after.steps),
                    (before.status, before.steps),
                    "{row:?}"
                );
            }
            State::Completed | State::PickedUp | State::FailedAndCompensated => {
                assert_eq!(after, before, "{row:?}")
            }
        }
        // Whatever was response first is response again.
        assert_eq!(cancel(&fixture, posted).await, post, "{row:?} again");
        assert_eq!(delete(&fixture, posted).await, deleted, "{row:?} again");
    }
}

#[tokio::test]
async fn cancel_after_completed_pivot_returns_conflict() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    for step in ["car", "hotel", "flight"] {
        fixture.reply_completed(id, step).await;
    }
    let problem = fixture
        .post(&format!("/sagas/{id}/cancel"), &json!({}))
        .await
        .problem(409);
    assert_eq!(problem["type"], "/docs#too-late");
}

#[tokio::test]
async fn saga_cancel_returns_saga_and_reason_is_optional() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    let response = fixture
        .call(Method::POST, &format!("/sagas/{id}/cancel"), &[], None)
        .await;
    assert_eq!(response.status, 202);
    let saga = response.json();
    assert_eq!(saga["cancel"]["reason"], "unspecified");
    assert_eq!(saga["cancel"]["by"], "anonymous");
    assert_eq!(response.header("etag"), format!("\"{}\"", saga["revision"]));

    let other = fixture.start_trip().await;
    let long = fixture
        .post(
            &format!("/sagas/{other}/cancel"),
            &json!({"reason": "x".repeat(501)}),
        )
        .await;
    assert_eq!(long.pointers(), ["#/reason"]);
    let unknown = fixture
        .post(&format!("/sagas/{other}/cancel"), &json!({"why": "x"}))
        .await;
    assert_eq!(unknown.pointers(), ["#/why"]);
    assert!(!fixture.saga(other).await.is_rolling_back());
}
