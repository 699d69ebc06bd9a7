use super::Fixture;
use serde_json::{Value, json};

fn ids(page: &Value) -> Vec<String> {
    page["sagas"]
        .as_array()
        .unwrap()
        .iter()
        .map(|saga| saga["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_are_consistent_while_sagas_change() {
    let fixture = Fixture::new().await;
    let mut all = Vec::new();
    for _ in 0..7 {
        all.push(fixture.start_trip().await.to_string());
    }
    all.reverse();
    let first = fixture.get("/sagas?limit=3").await.json();
    assert_eq!(ids(&first), all[..3]);
    // New ones come, old ones move: the next pages are what they would have been.
    fixture.start_trip().await;
    let oldest = all[6].parse().unwrap();
    fixture.reply_completed(oldest, "car").await;
    fixture
        .post(&format!("/sagas/{}/cancel", all[4]), &json!({}))
        .await;
    let second = fixture
        .get(&format!(
            "/sagas?limit=3&cursor={}",
            first["next"].as_str().unwrap()
        ))
        .await
        .json();
    assert_eq!(ids(&second), all[3..6]);
    let last = fixture
        .get(&format!(
            "/sagas?limit=3&cursor={}",
            second["next"].as_str().unwrap()
        ))
        .await
        .json();
    assert_eq!(
        (ids(&last), &last["next"]),
        (all[6..].to_vec(), &Value::Null)
    );
}

#[tokio::test]
async fn list_omits_input_and_outputs() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    fixture.reply_completed(id, "car").await;
    let saga = &fixture.get("/sagas").await.json()["sagas"][0];
    assert_eq!(saga.get("input"), None);
    assert_eq!(saga["steps"][0].get("output"), None);
    assert_eq!(saga["steps"][0]["compensation"], json!({"empty": false}));
    assert_eq!(saga["steps"][1]["status"], "running");
}

#[tokio::test]
async fn list_filters_are_combined() {
    let fixture = Fixture::new().await;
    let keyed = fixture
        .post_with(
            "/sagas",
            &[("x-correlation-id", "corr-77")],
            &json!({"workflow": "trip", "key": "rome"}),
        )
        .await;
    let keyed = super::response_id(&keyed);
    let order = fixture.place_order().await;
    let cancelled = fixture.start_trip().await;
    fixture
        .post(&format!("/sagas/{cancelled}/cancel"), &json!({}))
        .await;
    let found = async |query: &str| ids(&fixture.get(&format!("/sagas?{query}")).await.json());
    let (keyed, order, cancelled) = (keyed.to_string(), order.to_string(), cancelled.to_string());
    assert_eq!(found("workflow=order").await, [order.as_str()]);
    assert_eq!(found("status=compensating").await, [cancelled.as_str()]);
    assert_eq!(
        found("status=compensating&status=running").await,
        [cancelled.as_str(), order.as_str(), keyed.as_str()]
    );
    assert_eq!(
        found("status=compensating&workflow=order").await,
        Vec::<String>::new()
    );
    assert_eq!(found("key=rome").await, [keyed.as_str()]);
    assert_eq!(found("q=corr-7").await, [keyed.as_str()]);
    assert_eq!(
        found(&format!("q={}", &order[..23])).await,
        [order.as_str()]
    );
    assert_eq!(found("step=order").await, [order.as_str()]);
    assert_eq!(
        found("until=2020-01-01T00:00:00Z").await,
        Vec::<String>::new()
    );
    assert_eq!(
        found("since=2020-01-01T00:00:00Z&workflow=trip").await,
        [cancelled.as_str(), keyed.as_str()]
    );
    assert_eq!(
        found("status=&workflow=&key=&limit=1").await.len(),
        1,
        "empty is as if not given"
    );
}

#[tokio::test]
async fn unknown_parameter_or_invalid_value_is_rejected() {
    let fixture = Fixture::new().await;
    for query in [
        "state=running",
        "status=busy",
        "limit=0",
        "limit=501",
        "limit=x",
        "since=yesterday",
        "cursor=abc",
        "workflow=a&workflow=b",
        "until=2020-01-01",
    ] {
        let problem = fixture.get(&format!("/sagas?{query}")).await.problem(400);
        assert_eq!(problem["type"], "/docs#invalid-query", "{query}");
    }
}
