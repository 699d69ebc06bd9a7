use super::{Fixture, TRIP};
use crate::bus::WorkerBacklog;
use crate::http::HttpSettings;
use axum::body::Body;
use axum::http::{Method, Request};
use saga_protocol::Time;
use saga_protocol::message::{ServedStep, WorkerHeartbeat};
use serde_json::json;
use std::time::Duration;

async fn put(fixture: &Fixture, path: &str, source: &str, media_type: &str) -> super::TestResponse {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", media_type);
    fixture
        .send(request.body(Body::from(source.to_owned())).unwrap())
        .await
}

const BOAT: &str = "workflow: boat\nversion: 1\nsteps:\n  - name: row\n";

#[tokio::test]
async fn workflow_version_is_immutable() {
    let fixture = Fixture::new().await;
    let created = put(&fixture, "/workflows", BOAT, "application/yaml").await;
    assert_eq!(
        (created.status.as_u16(), created.header("location")),
        (201, "/workflows/boat?version=1")
    );
    let same = put(
        &fixture,
        "/workflows",
        &format!("# again\n{BOAT}"),
        "text/yaml",
    )
    .await;
    assert_eq!(
        (same.status.as_u16(), same.json()["digest"].clone()),
        (200, created.json()["digest"].clone())
    );
    let json =
        json!({"workflow": "boat", "version": 1, "steps": [{"name": "row"}, {"name": "sail"}]})
            .to_string();
    let other = put(&fixture, "/workflows", &json, "application/json").await;
    assert_eq!(other.problem(409)["type"], "/docs#version-taken");
    assert_eq!(
        fixture
            .post("/sagas", &json!({"workflow": "boat"}))
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn all_diagnostics_of_a_definition_are_reported() {
    let fixture = Fixture::new().await;
    let bad = "workflow: boat\nversion: 0\nsteps:\n  - name: row\n    colour: red\n";
    for path in ["/workflows", "/workflows/check"] {
        let problem = put(&fixture, path, bad, "application/yaml")
            .await
            .problem(422);
        let details: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["detail"].as_str().unwrap())
            .collect();
        assert_eq!(details.len(), 2, "{details:?}");
        assert!(
            details[0].starts_with("workflow.yaml:2:10: number: "),
            "{details:?}"
        );
        assert_eq!(problem["valid"], false);
    }
    put(&fixture, "/workflows", BOAT, "application/pdf")
        .await
        .problem(415);
    put(
        &fixture,
        "/workflows",
        &"#".repeat(256 * 1024 + 1),
        "application/yaml",
    )
    .await
    .problem(413);
}

#[tokio::test]
async fn checked_definition_is_not_stored() {
    let fixture = Fixture::new().await;
    let checked = put(&fixture, "/workflows/check", BOAT, "application/yaml")
        .await
        .json();
    assert_eq!(
        (&checked["valid"], &checked["steps"]),
        (&json!(true), &json!(["row"]))
    );
    assert_eq!(
        (&checked["verdict"], &checked["counterexample"]),
        (&json!("complete"), &json!(null))
    );
    assert!(
        checked["states"].as_u64().unwrap() > 40 && checked["depth"].as_u64().unwrap() > 3,
        "{checked}"
    );
    assert!(
        checked["bound"]
            .as_str()
            .unwrap()
            .starts_with("at most 2 attempts"),
        "{checked}"
    );
    fixture.get("/workflows/boat").await.problem(404);
}

#[tokio::test]
async fn one_exploration_runs_at_a_time_and_is_bounded() {
    let settings = HttpSettings {
        max_exploration: Duration::from_secs(2),
        ..HttpSettings::default()
    };
    let fixture = Fixture::with_settings(settings).await;
    let step = |n: u32| {
        format!(
            "  - name: s{n}\n    needs: []\n    retry: {{ attempts: {} }}\n",
            n % 2 + 1
        )
    };
    let wide = format!(
        "workflow: wide\nversion: 1\nsteps:\n{}",
        (0..30).map(step).collect::<String>()
    );
    let check = || put(&fixture, "/workflows/check", &wide, "application/yaml");
    let (first, second) = tokio::join!(check(), check());
    let (taken, refused) = if first.status == 200 {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!(
        (
            taken.json()["verdict"].clone(),
            taken.json()["valid"].clone()
        ),
        (json!("bounded"), json!(true))
    );
    assert_eq!(refused.header("retry-after"), "2");
    assert_eq!(refused.problem(503)["type"], "/docs#overloaded");
    let after = put(&fixture, "/workflows/check", BOAT, "application/yaml").await;
    assert_eq!(
        after.json()["verdict"],
        "complete",
        "the exploration has ended"
    );
}

#[tokio::test]
async fn workflows_are_listed_and_shown() {
    let fixture = Fixture::new().await;
    fixture.start_trip().await;
    put(
        &fixture,
        "/workflows",
        &TRIP.replace("version: 1", "version: 2"),
        "application/yaml",
    )
    .await;
    let all = fixture.get("/workflows").await.json();
    let all: Vec<_> = all["workflows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|known| json!([known["workflow"], known["version"], known["unfinished"]]))
        .collect();
    assert_eq!(
        json!(all),
        json!([["order", 1, 0], ["trip", 1, 1], ["trip", 2, 0]])
    );
    let latest = fixture.get("/workflows/trip").await.json();
    assert_eq!(
        (&latest["version"], &latest["versions"]),
        (&json!(2), &json!([1, 2]))
    );
    let first = fixture.get("/workflows/trip?version=1").await.json();
    assert_eq!(first["source"], TRIP);
    assert_eq!(first["definition"]["steps"][1]["worker"], "rooms");
    fixture.get("/workflows/trip?version=3").await.problem(404);
    fixture.get("/workflows/trip?version=x").await.problem(400);
}

/// Stores a workflow with schemas of its input and of the output of its step.
async fn put_ferry(fixture: &Fixture) {
    let ferry = json!({
        "workflow": "ferry",
        "version": 1,
        "input_schema": {
            "required": ["cars"],
            "properties": {"cars": {"type": "array", "items": {"required": ["plate"]}}, "a b": {"type": "integer"}},
        },
        "steps": [{"name": "row", "output_schema": {"required": ["berth"]}}],
    });
    assert_eq!(
        put(
            fixture,
            "/workflows",
            &ferry.to_string(),
            "application/json"
        )
        .await
        .status,
        201
    );
}

#[tokio::test]
async fn input_schema_violation_starts_no_saga() {
    let fixture = Fixture::new().await;
    put_ferry(&fixture).await;
    let start = async |input| {
        fixture
            .post(
                "/sagas",
                &json!({"workflow": "ferry", "key": "k", "input": input}),
            )
            .await
    };
    let problem = start(json!({"cars": [{"plate": "x"}, {}], "a b": "secret"}))
        .await
        .problem(422);
    assert_eq!(problem["type"], "/docs#invalid-fields");
    let mut pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["#/input/a%20b", "#/input/cars/1/plate"]);
    assert!(!problem.to_string().contains("secret"), "{problem}");
    assert_eq!(
        start(json!({})).await.problem(422)["errors"][0]["pointer"],
        "#/input/cars"
    );
    assert_eq!(
        fixture.get("/sagas?workflow=ferry").await.json()["sagas"],
        json!([]),
        "no saga was started"
    );
}

#[tokio::test]
async fn output_schema_violation_completes_no_step() {
    let fixture = Fixture::new().await;
    put_ferry(&fixture).await;
    let body = json!({"workflow": "ferry", "input": {"cars": []}});
    let started = fixture.post("/sagas", &body).await;
    assert_eq!(started.status, 202);
    let complete = format!(
        "/sagas/{}/steps/row/complete",
        started.json()["id"].as_str().unwrap()
    );
    let problem = fixture
        .post(&complete, &json!({"output": {}}))
        .await
        .problem(422);
    assert_eq!(
        problem["errors"][0],
        json!({"pointer": "#/output/berth", "detail": "is missing"})
    );
    assert_eq!(
        fixture
            .post(&complete, &json!({"output": {"berth": 7}}))
            .await
            .json()["status"],
        "completed"
    );
}

#[tokio::test]
async fn unhandled_steps_are_listed() {
    let fixture = Fixture::new().await;
    put(
        &fixture,
        "/workflows",
        "workflow: boat\nversion: 2\nsteps:\n  - name: sail\n    worker: row\n",
        "text/yaml",
    )
    .await;
    put(&fixture, "/workflows", BOAT, "application/yaml").await;
    let unhandled = async || {
        let all = fixture.get("/workflows").await.json();
        let boats = all["workflows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|known| known["workflow"] == "boat");
        boats
            .map(|known| known["unhandled"].clone())
            .collect::<Vec<_>>()
    };
    let unhandled_step =
        |step: &str, members: usize| json!([{"step": step, "worker": "row", "members": members}]);
    assert_eq!(
        unhandled().await,
        [unhandled_step("row", 0), unhandled_step("sail", 0)],
        "the worker has no members"
    );
    let page = fixture.get("/").await.text();
    assert!(
        !page.contains("Unhandled steps"),
        "workers without members are not listed as unhandled"
    );
    let member = WorkerHeartbeat {
        worker: "row".to_owned(),
        member: "row-1".to_owned(),
        at: Time::from_micros(0),
        in_flight: 0,
        limit: 1,
        build: "b".to_owned(),
        serves: vec![ServedStep {
            workflow: "*".to_owned(),
            step: "row".to_owned(),
        }],
        breakers: std::collections::BTreeMap::new(),
        read: None,
    };
    let backlog = WorkerBacklog {
        worker: "row".to_owned(),
        lag: 0,
        oldest_age_seconds: 0.0,
        members: vec![member],
    };
    *fixture.bus.workers.lock().unwrap() = vec![backlog];
    assert_eq!(unhandled().await, [json!([]), unhandled_step("sail", 1)]);
    assert_eq!(
        fixture.get("/workflows/boat").await.json()["unhandled"],
        unhandled_step("sail", 1)
    );
    let page = fixture.get("/").await.text();
    assert!(
        page.contains("<li>sail of boat@2, worker row</li>"),
        "{page}"
    );
}
