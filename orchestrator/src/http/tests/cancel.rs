//! Each row of the table of cancel, by both ways in.

use super::Fixture;
use axum::http::Method;
use serde_json::json;
use uuid::Uuid;

async fn cancel(fixture: &Fixture, id: Uuid) -> u16 {
    let answered = fixture
        .post(
            &format!("/orders/{id}/cancel"),
            &json!({"reason": "changed my mind"}),
        )
        .await;
    if answered.status == 202 {
        assert_eq!(answered.json()["id"], json!(id));
    } else {
        answered.problem(409);
    }
    answered.status.as_u16()
}

async fn delete(fixture: &Fixture, id: Uuid) -> u16 {
    let answered = fixture
        .call(Method::DELETE, &format!("/orders/{id}"), &[], None)
        .await;
    if answered.status == 204 {
        assert!(answered.body.is_empty());
    } else {
        answered.problem(409);
    }
    answered.status.as_u16()
}

#[derive(Clone, Copy, Debug)]
enum At {
    Running,
    Paused,
    Cancelled,
    CancelledAndUndone,
    FailedAndGoingBack,
    FailedAndParked,
    Completed,
    PickedUp,
    FailedAndUndone,
}

/// An order that has come there.
async fn at(fixture: &Fixture, at: At) -> Uuid {
    let id = if matches!(at, At::PickedUp) {
        let mut order = super::an_order();
        order["fulfilment"] = json!("pickup");
        super::id_of(&fixture.post("/orders", &order).await)
    } else {
        fixture.order().await
    };
    fixture.done(id, "order").await;
    match at {
        At::Running => {}
        At::Paused => assert_eq!(
            fixture
                .post(&format!("/sagas/{id}/pause"), &json!({}))
                .await
                .status,
            200
        ),
        At::Cancelled | At::CancelledAndUndone => {
            let body = json!({"reason": "the first"});
            assert_eq!(
                fixture
                    .post(&format!("/orders/{id}/cancel"), &body)
                    .await
                    .status,
                202
            );
        }
        At::FailedAndGoingBack | At::FailedAndParked | At::FailedAndUndone => {
            fixture.failed(id, "pay", "declined").await;
        }
        At::Completed | At::PickedUp => {
            fixture.done(id, "pay").await;
            fixture.done(id, "store").await;
        }
    }
    match at {
        At::CancelledAndUndone | At::FailedAndUndone => fixture.undo_all(id).await,
        At::FailedAndParked => fixture.failed(id, "pay", "gateway_closed").await,
        At::Completed => fixture.done(id, "deliver").await,
        _ => {}
    }
    id
}

#[tokio::test]
async fn every_row_of_the_table() {
    let fixture = Fixture::new().await;
    for (row, post, deleted) in [
        (At::Running, 202, 204),
        (At::Paused, 202, 204),
        (At::Cancelled, 202, 204),
        (At::CancelledAndUndone, 202, 204),
        (At::FailedAndGoingBack, 202, 204),
        (At::FailedAndParked, 202, 204),
        (At::Completed, 409, 409),
        (At::PickedUp, 409, 409),
        (At::FailedAndUndone, 409, 409),
    ] {
        let (one, other) = (at(&fixture, row).await, at(&fixture, row).await);
        let before = fixture.saga(one).await;
        assert_eq!(cancel(&fixture, one).await, post, "{row:?}");
        assert_eq!(delete(&fixture, other).await, deleted, "{row:?}");
        let after = fixture.saga(one).await;
        match row {
            At::Running | At::Paused => {
                assert!(after.is_rolling_back() && !after.paused, "{row:?}")
            }
            At::Cancelled | At::CancelledAndUndone => {
                assert_eq!(after.cancel.unwrap().reason, "the first", "{row:?}");
                assert_eq!(after.revision, before.revision, "{row:?}");
            }
            At::FailedAndGoingBack | At::FailedAndParked => {
                assert_eq!(after.cancel.unwrap().reason, "changed my mind", "{row:?}");
                assert_eq!(
                    (after.status, after.steps),
                    (before.status, before.steps),
                    "{row:?}"
                );
            }
            At::Completed | At::PickedUp | At::FailedAndUndone => {
                assert_eq!(after, before, "{row:?}")
            }
        }
        // Whatever was answered first is answered again.
        assert_eq!(cancel(&fixture, one).await, post, "{row:?} again");
        assert_eq!(delete(&fixture, one).await, deleted, "{row:?} again");
    }
}

#[tokio::test]
async fn behind_a_completed_pivot_there_is_no_way_back() {
    let fixture = Fixture::new().await;
    let id = fixture.trip().await;
    for step in ["car", "hotel", "flight"] {
        fixture.done(id, step).await;
    }
    let problem = fixture
        .post(&format!("/sagas/{id}/cancel"), &json!({}))
        .await
        .problem(409);
    assert_eq!(problem["type"], "/docs#too-late");
}

#[tokio::test]
async fn a_saga_s_cancel_answers_with_the_saga_and_its_reason_is_optional() {
    let fixture = Fixture::new().await;
    let id = fixture.trip().await;
    let answered = fixture
        .call(Method::POST, &format!("/sagas/{id}/cancel"), &[], None)
        .await;
    assert_eq!(answered.status, 202);
    let saga = answered.json();
    assert_eq!(saga["cancel"]["reason"], "unspecified");
    assert_eq!(saga["cancel"]["by"], "anonymous");
    assert_eq!(answered.header("etag"), format!("\"{}\"", saga["revision"]));

    let other = fixture.trip().await;
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
