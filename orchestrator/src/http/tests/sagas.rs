use super::{Fixture, response_id};
use axum::http::Method;
use saga_core::saga::Status;
use serde_json::{Value, json};

#[tokio::test]
async fn saga_has_the_fields_of_the_contract() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    fixture.reply_completed(id, "car").await;
    let shown = fixture.get(&format!("/sagas/{id}")).await;
    let saga = shown.json();
    let mut names: Vec<_> = saga
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "cancel",
            "correlation_id",
            "deadline",
            "failure",
            "finished_at",
            "id",
            "input",
            "key",
            "past_deadline",
            "paused",
            "revision",
            "started_at",
            "status",
            "steps",
            "updated_at",
            "version",
            "waiting_for",
            "workflow"
        ]
    );
    assert_eq!(saga["input"], json!({"secret": "•••", "to": "Rome"}));
    assert_eq!(
        (&saga["status"], &saga["revision"], &saga["paused"]),
        (&json!("running"), &json!(2), &json!(false))
    );
    assert_eq!(
        (&saga["cancel"], &saga["finished_at"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        saga["waiting_for"]
            .as_str()
            .unwrap()
            .starts_with("hotel: a reply to attempt 1"),
        "{saga}"
    );
    let car = &saga["steps"][0];
    assert_eq!(car["output"], json!({"of": "car", "pin": "•••"}));
    assert_eq!(
        (&car["status"], &car["attempt"], &car["error"]),
        (&json!("completed"), &json!(1), &Value::Null)
    );
    let hotel = &saga["steps"][1];
    assert_eq!(
        (&hotel["worker"], &hotel["needs"]),
        (&json!("rooms"), &json!(["car"]))
    );
    assert_eq!(
        hotel["compensation"],
        json!({"output": null, "empty": false})
    );
    assert_eq!(shown.header("etag"), "\"2\"");
}

#[tokio::test]
async fn attempt_and_error_are_those_of_the_direction() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    fixture.reply_completed(id, "car").await;
    fixture.reply_failed(id, "hotel", "full").await;
    let step = async |name: usize| {
        fixture.get(&format!("/sagas/{id}")).await.json()["steps"][name].clone()
    };
    let hotel = step(1).await;
    assert_eq!(
        (&hotel["status"], &hotel["attempt"], &hotel["error"]),
        (&json!("compensating"), &json!(1), &Value::Null)
    );
    fixture.reply(id, "hotel", |reply| reply.empty = true).await;
    assert_eq!(step(1).await["compensation"]["empty"], true);
    fixture.reply_failed(id, "car", "garage_closed").await;
    assert_eq!(step(0).await["error"]["code"], "garage_closed");
    assert_eq!(
        fixture.get(&format!("/sagas/{id}")).await.json()["status"],
        "parked"
    );
}

#[tokio::test]
async fn failure_remains_visible_after_compensation() {
    let fixture = Fixture::new().await;
    let (failed, cancelled) = (fixture.start_trip().await, fixture.start_trip().await);
    let failure = async |id| fixture.get(&format!("/sagas/{id}")).await.json()["failure"].clone();
    assert_eq!(failure(failed).await, Value::Null);
    fixture.reply_completed(failed, "car").await;
    fixture.reply_failed(failed, "hotel", "full").await;
    fixture.compensate_all(failed).await;
    let expected = json!({"step": "hotel", "code": "full", "message": "rejected by the worker", "retryable": false});
    assert_eq!(
        (fixture.saga(failed).await.status, failure(failed).await),
        (Status::Compensated, expected)
    );
    fixture
        .post(
            &format!("/sagas/{cancelled}/cancel"),
            &json!({"reason": "rain"}),
        )
        .await;
    fixture.compensate_all(cancelled).await;
    assert_eq!(
        (
            fixture.saga(cancelled).await.status,
            failure(cancelled).await
        ),
        (Status::Compensated, Value::Null)
    );
    let list = fixture.get("/ui/sagas").await.text();
    assert!(list.contains("full: rejected by the worker"), "{list}");
}

#[tokio::test]
async fn entity_tag_is_the_revision() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    let path = format!("/sagas/{id}");
    let unchanged = fixture
        .call(Method::GET, &path, &[("if-none-match", "\"1\"")], None)
        .await;
    assert_eq!(
        (
            unchanged.status.as_u16(),
            unchanged.body.len(),
            unchanged.header("etag")
        ),
        (304, 0, "\"1\"")
    );
    fixture.reply_completed(id, "car").await;
    let changed = fixture
        .call(Method::GET, &path, &[("if-none-match", "\"1\"")], None)
        .await;
    assert_eq!(
        (changed.status.as_u16(), changed.header("etag")),
        (200, "\"2\"")
    );

    let pause = async |tag| {
        fixture
            .post_with(&format!("{path}/pause"), &[("if-match", tag)], &json!({}))
            .await
    };
    let stale = pause("\"1\"").await;
    assert_eq!(
        (stale.problem(412)["revision"].clone(), stale.header("etag")),
        (json!(2), "\"2\"")
    );
    pause("W/\"2\"").await.problem(412);
    pause("\"7\", \"8\"").await.problem(412);
    assert_eq!(pause("\"7\", \"2\"").await.status, 200);
    assert_eq!(
        fixture
            .post_with(&format!("{path}/resume"), &[("if-match", "*")], &json!({}))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn operator_actions_change_the_saga() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    let act = async |action: &str, body: Value| {
        fixture.post(&format!("/sagas/{id}/{action}"), &body).await
    };
    assert_eq!(
        act("resume", json!({})).await.status,
        200,
        "of what is not paused"
    );
    assert_eq!(
        act("pause", json!({"reason": "lunch"})).await.json()["paused"],
        true
    );
    let again = act("pause", json!({})).await;
    assert_eq!(
        (again.status.as_u16(), again.json()["revision"].clone()),
        (200, json!(2))
    );
    assert_eq!(act("resume", json!({})).await.json()["paused"], false);
    act("retry", json!({})).await.problem(409);
}

#[tokio::test]
async fn step_actions_change_the_saga() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    let act = async |action: &str, body: Value| {
        fixture.post(&format!("/sagas/{id}/{action}"), &body).await
    };

    fixture.reply_accepted(id, "car").await;
    let completion = json!({"output": {"pin": 1, "ticket": 7}, "reason": "they called"});
    let complete = act("steps/car/complete", completion).await;
    assert_eq!(
        complete.json()["steps"][0]["output"],
        json!({"pin": "•••", "ticket": 7})
    );
    let history = fixture.get(&format!("/sagas/{id}/history")).await.json();
    assert_eq!(
        history["history"].as_array().unwrap().last().unwrap()["input"]["reason"],
        "they called"
    );
    assert_eq!(
        act("steps/hotel/complete", json!({"reason": "x".repeat(501)}))
            .await
            .pointers(),
        ["#/reason"]
    );
    assert_eq!(
        act("steps/car/complete", json!({"output": {"pin": 1}}))
            .await
            .status,
        200,
        "the first wins"
    );
    act("steps/boat/complete", json!({})).await.problem(404);
    act("steps/mail/complete", json!({})).await.problem(409);
    act("steps/car/resolve", json!({"note": "n"}))
        .await
        .problem(409);
    assert_eq!(
        act("steps/car/resolve", json!({})).await.pointers(),
        ["#/note"]
    );
    assert_eq!(
        act("steps/hotel/fail", json!({"error": {"message": 1}}))
            .await
            .pointers(),
        ["#/error/code", "#/error/message"]
    );
    let big = json!({"output": "x".repeat(64 * 1024)});
    assert_eq!(
        act("steps/hotel/complete", big).await.pointers(),
        ["#/output"]
    );

    let fail = act(
        "steps/hotel/fail",
        json!({"error": {"code": "full", "message": "no room"}}),
    )
    .await;
    assert_eq!(
        (fail.status.as_u16(), fail.json()["status"].clone()),
        (200, json!("compensating"))
    );
    fixture.reply(id, "hotel", |_| {}).await;
    fixture.reply_failed(id, "car", "garage_closed").await;
    let resolved = act("steps/car/resolve", json!({"note": "towed it"}))
        .await
        .json();
    assert_eq!(resolved["status"], "compensated");
    assert_eq!(resolved["steps"][0]["compensation"]["note"], "towed it");
    act("pause", json!({})).await.problem(409);
}

#[tokio::test]
async fn business_key_defaults_to_the_id_and_is_unique() {
    let fixture = Fixture::new().await;
    let first = fixture
        .post("/sagas", &json!({"workflow": "trip", "key": "rome"}))
        .await;
    assert_eq!(first.json()["key"], "rome");
    assert_eq!(first.json()["input"], json!({}));
    let taken = fixture
        .post("/sagas", &json!({"workflow": "trip", "key": "rome"}))
        .await
        .problem(409);
    assert_eq!(taken["saga"], format!("/sagas/{}", response_id(&first)));
    let unkeyed = fixture.start_trip().await;
    assert_eq!(fixture.saga(unkeyed).await.key, unkeyed.to_string());
}

#[tokio::test]
async fn invalid_start_reports_all_fields() {
    let fixture = Fixture::new().await;
    let start = async |body: Value| fixture.post("/sagas", &body).await;
    assert_eq!(
        start(json!({"workflow": "cruise"})).await.pointers(),
        ["#/workflow"]
    );
    assert_eq!(
        start(json!({"workflow": "trip", "version": 9}))
            .await
            .pointers(),
        ["#/version"]
    );
    assert_eq!(
        start(json!({"workflow": "trip", "version": 0, "key": "", "x": 1}))
            .await
            .pointers(),
        ["#/key", "#/version", "#/x"]
    );
    assert_eq!(
        start(json!({"workflow": "trip", "input": "x".repeat(256 * 1024)}))
            .await
            .pointers(),
        ["#/input"]
    );
    start(json!({"workflow": "trip", "input": "x".repeat(300 * 1024)}))
        .await
        .problem(413);
}

#[tokio::test]
async fn prefer_wait_waits_for_the_end() {
    let fixture = Fixture::new().await;
    let trip = json!({"workflow": "trip"});
    let wait = async || {
        fixture
            .post_with("/sagas", &[("prefer", "wait=10")], &trip)
            .await
    };
    let (completed, _) = tokio::join!(wait(), async {
        let id = fixture.running_saga("trip").await;
        for step in ["car", "hotel", "flight", "mail"] {
            fixture.reply_completed(id, step).await;
        }
    });
    assert_eq!(
        (
            completed.status.as_u16(),
            completed.json()["status"].clone()
        ),
        (201, json!("completed"))
    );

    let (compensated, id) = tokio::join!(wait(), async {
        let id = fixture.running_saga("trip").await;
        fixture.reply_failed(id, "car", "none").await;
        fixture.compensate_all(id).await;
        id
    });
    let problem = compensated.problem(409);
    assert_eq!(
        (&problem["saga"], &problem["detail"]),
        (
            &json!(format!("/sagas/{id}")),
            &json!("the saga is compensated")
        )
    );
    let running = fixture
        .post_with("/sagas", &[("prefer", "wait=0")], &trip)
        .await;
    assert_eq!(running.status, 202);
}

#[tokio::test]
async fn history_lists_inputs_and_their_results() {
    let fixture = Fixture::new().await;
    let id = fixture.start_trip().await;
    fixture.reply_completed(id, "car").await;
    fixture.reply(id, "car", |reply| reply.attempt = 9).await;
    fixture
        .post(&format!("/sagas/{id}/cancel"), &json!({"reason": "rain"}))
        .await;
    let read = fixture.get(&format!("/sagas/{id}/history")).await.json();
    let history = read["history"].as_array().unwrap();
    assert_eq!(read["next"], Value::Null);
    let entry = |index: usize| &history[index];
    assert_eq!(
        (
            &entry(0)["revision"],
            &entry(0)["input"]["type"],
            &entry(0)["by"]
        ),
        (&json!(1), &json!("start"), &json!("anonymous"))
    );
    assert_eq!(entry(0)["input"]["input"]["secret"], "•••");
    assert!(
        entry(0)["moved"]
            .as_array()
            .unwrap()
            .contains(&json!({"step": null, "from": null, "to": "running"}))
    );
    assert_eq!(
        (
            &entry(1)["input"]["outcome"],
            &entry(1)["input"]["output"]["pin"]
        ),
        (&json!("completed"), &json!("•••"))
    );
    assert!(
        entry(1)["moved"]
            .as_array()
            .unwrap()
            .contains(&json!({"step": "car", "from": "running", "to": "completed"}))
    );
    assert_eq!(
        (entry(2)["ignored"].clone(), entry(2).get("moved")),
        (json!("stale"), None)
    );
    assert_eq!(
        (&entry(3)["input"]["reason"], &entry(3)["by"]),
        (&json!("rain"), &json!("anonymous"))
    );

    let mut all = Vec::new();
    let mut path = format!("/sagas/{id}/history?limit=1");
    loop {
        let page = fixture.get(&path).await.json();
        all.extend(page["history"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/sagas/{id}/history?limit=1&cursor={next}");
    }
    assert_eq!(&all, history);
    fixture
        .get(&format!("/sagas/{id}/history?order=desc"))
        .await
        .problem(400);
    fixture
        .get(&format!("/sagas/{id}/history?cursor=x"))
        .await
        .problem(400);
}
