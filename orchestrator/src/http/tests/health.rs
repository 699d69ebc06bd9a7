use super::Fixture;
use crate::bus::WorkerBacklog;
use crate::engine::EngineHandle;
use crate::http::HttpSettings;
use axum::http::Method;
use saga_protocol::Time;
use saga_protocol::message::WorkerHeartbeat;
use serde_json::json;

#[tokio::test]
async fn probes_respond_with_ok() {
    let fixture = Fixture::new().await;
    for path in ["/livez", "/readyz", "/startupz"] {
        let response = fixture.get(path).await;
        assert_eq!(
            (response.status.as_u16(), response.text().as_str()),
            (200, "ok\n"),
            "{path}"
        );
        let verbose = fixture.get(&format!("{path}?verbose")).await.text();
        assert!(
            verbose.starts_with("[+] ") && verbose.ends_with("ok\n"),
            "{verbose}"
        );
    }
    for path in [
        "/actuator/health",
        "/actuator/health/liveness",
        "/actuator/health/readiness",
    ] {
        assert_eq!(
            fixture.get(path).await.json(),
            json!({"status": "UP"}),
            "{path}"
        );
    }
    fixture.get("/livez?loud").await.problem(400);
}

#[tokio::test]
async fn draining_replica_is_alive_and_not_ready() {
    let fixture = Fixture::new().await;
    fixture.readiness.set_draining();
    assert_eq!(fixture.get("/livez").await.status, 200);
    let ready = fixture.get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), ready.text().as_str()),
        (503, "[-] draining: this replica is shutting down\n")
    );
    let actuator = fixture.get("/actuator/health/readiness").await;
    assert_eq!(
        (actuator.status.as_u16(), actuator.json()),
        (503, json!({"status": "DOWN"}))
    );
    assert_eq!(fixture.get("/actuator/health").await.status, 503);
}

#[tokio::test]
async fn heartbeat_stops_only_with_allow_faults() {
    let fixture = Fixture::new().await;
    fixture
        .call(Method::PUT, "/actuator/down", &[], None)
        .await
        .problem(404);
    assert_eq!(fixture.engine.check_liveness(), Ok(()));
    let fixture = Fixture::with_settings(HttpSettings {
        allow_faults: true,
        ..HttpSettings::default()
    })
    .await;
    assert_eq!(
        fixture
            .call(Method::PUT, "/actuator/down", &[], None)
            .await
            .status,
        202
    );
    assert_eq!(fixture.get("/livez").await.status, 503);
    assert_eq!(fixture.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn workers_are_listed_with_their_backlogs() {
    let fixture = Fixture::new().await;
    let member = |name: &str, in_flight| WorkerHeartbeat {
        worker: "pay".to_owned(),
        member: name.to_owned(),
        at: Time::from_micros(0),
        in_flight,
        limit: 64,
        build: "b".to_owned(),
        serves: Vec::new(),
        breakers: std::collections::BTreeMap::new(),
        read: None,
    };
    *fixture.bus.workers.lock().unwrap() = vec![WorkerBacklog {
        worker: "pay".to_owned(),
        lag: 10,
        oldest_age_seconds: 1.5,
        members: vec![member("pay-1", 3), member("pay-2", 4)],
    }];
    let workers = fixture.get("/workers").await.json();
    let names: Vec<_> = workers["workers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|worker| worker["worker"].clone())
        .collect();
    assert_eq!(
        json!(names),
        json!([
            "car", "deliver", "flight", "mail", "order", "pay", "rooms", "store"
        ])
    );
    let pay = &workers["workers"][5];
    assert_eq!(
        (&pay["lag"], &pay["in_flight"], &pay["queued"]),
        (&json!(10), &json!(7), &json!(3))
    );
    assert_eq!(
        (&pay["oldest_age_seconds"], &pay["members"][1]["member"]),
        (&json!(1.5), &json!("pay-2"))
    );
    assert_eq!(
        workers["workers"][0],
        json!({"worker": "car", "lag": 0, "queued": 0, "in_flight": 0, "oldest_age_seconds": 0.0, "members": []})
    );
}
