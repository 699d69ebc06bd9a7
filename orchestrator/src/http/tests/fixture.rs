//! A replica whose workers are played by the tests.

use crate::bus::{Ack, Bus, Delivery, IncomingReply, OutboxBatch, WorkerBacklog};
use crate::db::{Db, FaultyDb, QueryStore, SchemaStore, Sqlite};
use crate::engine::{Definitions, Engine, EngineDeps, EngineHandle, Limits};
use crate::http::{HttpDeps, HttpSettings, Readiness, router};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use saga_core::definition::built_in;
use saga_core::saga::{Saga, StepStatus};
use saga_protocol::message::{Envelope, Reply, ReplyOutcome};
use saga_protocol::{Failure, Payload, Time};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tower::ServiceExt;
use uuid::Uuid;

/// A replica with its router.
pub struct Fixture {
    pub router: Router,
    pub engine: Arc<Engine>,
    pub db: Arc<FaultyDb>,
    pub bus: Arc<TestBus>,
    pub readiness: Arc<Readiness>,
    replies: mpsc::Sender<IncomingReply>,
    _dir: TempDir,
}

/// A bus that acknowledges all messages at once.
pub struct TestBus {
    deliveries: mpsc::Sender<Delivery>,
    pub workers: Mutex<Vec<WorkerBacklog>>,
}

impl Bus for TestBus {
    fn publish(&self, batch: &OutboxBatch) -> bool {
        let acknowledged = Delivery::Acknowledged {
            batch: batch.clone(),
            rejected: Vec::new(),
        };
        self.deliveries.try_send(acknowledged).is_ok()
    }

    fn workers(&self) -> Vec<WorkerBacklog> {
        self.workers.lock().unwrap().clone()
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn unconsumed(&self, _: &str, _: Uuid, _: Time, _: Time) -> bool {
        false
    }
}

/// A response with its whole body.
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl TestResponse {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that the response is a problem with a status, and returns it.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");

        let problem = self.json();
        for member in ["type", "title", "detail"] {
            let text = problem[member].as_str();
            assert!(
                text.is_some_and(|text| !text.is_empty()),
                "{member} in {problem}"
            );
        }
        assert_eq!(problem["status"], status);
        assert_eq!(problem["correlation_id"], self.header("x-correlation-id"));
        problem
    }

    /// Asserts that the response is a 422, and returns the sorted pointers of its errors.
    #[track_caller]
    pub fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422);
        let errors = problem["errors"].as_array().unwrap();
        let mut pointers: Vec<_> = errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect();
        pointers.sort();
        pointers
    }
}

/// Three steps with compensations, the last of them the pivot, and a step behind it.
pub const TRIP: &str = "
workflow: trip
version: 1
sensitive: [input.secret, steps.car.pin]
steps:
  - name: car
  - name: hotel
    worker: rooms
  - name: flight
    pivot: true
  - name: mail
";

impl Fixture {
    pub async fn new() -> Self {
        Self::with_settings(HttpSettings::default()).await
    }

    pub async fn with_settings(settings: HttpSettings) -> Self {
        Self::with_metrics(settings, None).await
    }

    pub async fn with_metrics(settings: HttpSettings, metrics: Option<PrometheusHandle>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(dir.path().join("saga.db")).await.unwrap();
        let db = Arc::new(FaultyDb::new(sqlite));
        db.migrate().await.unwrap();

        let definitions = Arc::new(Definitions::default());
        definitions
            .put(&*db, built_in::ORDER.file, built_in::ORDER.text)
            .await
            .unwrap();
        definitions.put(&*db, "trip.yaml", TRIP).await.unwrap();

        let (reply_sender, replies) = mpsc::channel(100);
        let (delivery_sender, deliveries) = mpsc::channel(1_000);
        let bus = Arc::new(TestBus {
            deliveries: delivery_sender,
            workers: Mutex::default(),
        });
        let engine = Engine::spawn(EngineDeps {
            db: Arc::clone(&db) as Arc<dyn Db>,
            bus: Arc::clone(&bus) as Arc<dyn Bus>,
            replies,
            deliveries,
            definitions,
            replica: "test".to_owned(),
            limits: Limits::default(),
            idempotency_life: Duration::from_secs(24 * 3600),
        });
        let engine = engine.await.unwrap();

        let readiness = Arc::<Readiness>::default();
        readiness.set_started();
        let deps = HttpDeps {
            engine: Arc::clone(&engine) as Arc<dyn EngineHandle>,
            db: Arc::clone(&db) as Arc<dyn Db>,
            bus: Arc::clone(&bus) as Arc<dyn Bus>,
            settings,
            readiness: Arc::clone(&readiness),
            metrics,
        };

        Self {
            router: router(deps),
            engine,
            db,
            bus,
            readiness,
            replies: reply_sender,
            _dir: dir,
        }
    }

    pub async fn send(&self, request: Request<Body>) -> TestResponse {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();

        TestResponse {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> TestResponse {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }

        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        self.call(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> TestResponse {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    pub async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> TestResponse {
        self.call(Method::POST, path, headers, Some(body)).await
    }

    /// Places an order and returns its id.
    pub async fn place_order(&self) -> Uuid {
        let response = self.post("/orders", &order_body()).await;
        assert_eq!(response.status, 202, "{}", response.text());
        response_id(&response)
    }

    /// Starts a saga of the workflow `trip` and returns its id.
    pub async fn start_trip(&self) -> Uuid {
        let body = json!({"workflow": "trip", "input": {"secret": "s", "to": "Rome"}});
        let response = self.post("/sagas", &body).await;
        assert_eq!(response.status, 202, "{}", response.text());
        response_id(&response)
    }

    /// Polls for a running saga of a workflow: one whose start is awaited by a concurrent request.
    pub async fn running_saga(&self, workflow: &str) -> Uuid {
        let path = format!("/sagas?workflow={workflow}&status=running");
        loop {
            let list = self.get(&path).await.json();
            if let Some(saga) = list["sagas"].as_array().unwrap().first() {
                return saga["id"].as_str().unwrap().parse().unwrap();
            }
            tokio::task::yield_now().await;
        }
    }

    /// The stored saga.
    pub async fn saga(&self, id: Uuid) -> Saga {
        let stored = self.db.saga(id).await.unwrap().unwrap();
        Saga::from_json(&stored.state).unwrap()
    }

    /// Sends a reply to the current command of a step, and waits until the engine acknowledges it. The reply is
    /// `completed` unless `edit` changes it.
    pub async fn reply(&self, id: Uuid, step: &str, edit: impl FnOnce(&mut Reply)) {
        let saga = self.saga(id).await;
        let (action, attempts) = saga.step(step).unwrap().current_direction();
        let mut reply = Reply {
            saga_id: id,
            step: step.to_owned(),
            action,
            attempt: attempts.attempt,
            outcome: ReplyOutcome::Completed,
            output: None,
            empty: false,
            retry_after: None,
            error: None,
        };
        edit(&mut reply);

        let (acknowledge, acknowledged) = oneshot::channel();
        let incoming = IncomingReply {
            reply,
            envelope: Envelope::default(),
            ack: Ack::new(move || acknowledge.send(()).unwrap()),
        };
        self.replies.send(incoming).await.unwrap();
        acknowledged.await.unwrap();
    }

    pub async fn reply_completed(&self, id: Uuid, step: &str) {
        let output = Payload::from(json!({"of": step, "pin": 7}));
        self.reply(id, step, |reply| reply.output = Some(output))
            .await;
    }

    pub async fn reply_accepted(&self, id: Uuid, step: &str) {
        self.reply(id, step, |reply| reply.outcome = ReplyOutcome::Accepted)
            .await;
    }

    /// Replies with a failure that is not retryable.
    pub async fn reply_failed(&self, id: Uuid, step: &str, code: &str) {
        self.reply(id, step, |reply| {
            reply.outcome = ReplyOutcome::Failed;
            reply.error = Some(Failure::permanent(code, "rejected by the worker"));
        })
        .await;
    }

    /// Completes all compensations of a saga.
    pub async fn compensate_all(&self, id: Uuid) {
        while let Some(step) = self.compensating_step(id).await {
            self.reply(id, &step, |_| {}).await;
        }
    }

    async fn compensating_step(&self, id: Uuid) -> Option<String> {
        let saga = self.saga(id).await;
        let step = saga
            .steps
            .iter()
            .find(|step| step.status == StepStatus::Compensating);
        step.map(|step| step.name.clone())
    }
}

pub fn order_body() -> Value {
    json!({
        "customer": "c-1", "store": "s-1", "items": [{"menu": "big mac", "quantity": 2, "price": 550}],
        "currency": "EUR", "fulfilment": "delivery", "payment": {"method": "card", "token": "tok_visa"}
    })
}

/// The id in the body of a response.
#[track_caller]
pub fn response_id(response: &TestResponse) -> Uuid {
    response.json()["id"].as_str().unwrap().parse().unwrap()
}
