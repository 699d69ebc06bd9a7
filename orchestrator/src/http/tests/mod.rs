//! The router against a real engine on a real SQLite file. The workers are played by the test: it says what they reply.

mod cancel;
mod errors;
mod health;
mod idempotency;
mod lists;
mod metrics;
mod openapi;
mod orders;
mod pages;
mod sagas;
mod workflows;

use super::{HttpSettings, HttpState, Readiness, router};
use crate::bus::{Ack, Bus, Delivery, IncomingReply, OutboxBatch, WorkerBacklog};
use crate::db::{Db, FaultyDb, QueryStore, SchemaStore, Sqlite};
use crate::engine::{Definitions, Engine, EngineDeps, EngineHandle, Limits};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use saga_core::definition::built_in;
use saga_core::saga::Saga;
use saga_protocol::Failure;
use saga_protocol::Payload;
use saga_protocol::Time;
use saga_protocol::message::{Envelope, Reply, ReplyOutcome};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tower::ServiceExt;
use uuid::Uuid;

/// A replica whose workers are the test.
pub struct Fixture {
    pub router: Router,
    pub engine: Arc<Engine>,
    pub db: Arc<FaultyDb>,
    pub bus: Arc<TestBus>,
    pub readiness: Arc<Readiness>,
    replies: mpsc::Sender<IncomingReply>,
    _dir: TempDir,
}

/// Takes every message, and acknowledges it at once.
pub struct TestBus {
    deliveries: mpsc::Sender<Delivery>,
    pub workers: Mutex<Vec<WorkerBacklog>>,
}

impl Bus for TestBus {
    fn publish(&self, batch: &OutboxBatch) -> bool {
        self.deliveries
            .try_send(Delivery::Acknowledged {
                batch: batch.clone(),
                rejected: Vec::new(),
            })
            .is_ok()
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

/// An answer.
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answered {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that it is a problem with that status, and gives it.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        for member in ["type", "title", "detail"] {
            assert!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{member} in {problem}"
            );
        }
        assert_eq!(problem["status"], status);
        assert_eq!(problem["correlation_id"], self.header("x-correlation-id"));
        problem
    }

    #[track_caller]
    pub fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422);
        let errors = problem["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Three steps that can be undone, a pivot, and one behind it.
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
        Self::with(HttpSettings::default()).await
    }

    pub async fn with(settings: HttpSettings) -> Self {
        Self::measured(settings, None).await
    }

    pub async fn measured(settings: HttpSettings, metrics: Option<PrometheusHandle>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Arc::new(FaultyDb::new(
            Sqlite::open(dir.path().join("saga.db")).await.unwrap(),
        ));
        db.migrate().await.unwrap();
        let definitions = Arc::new(Definitions::default());
        definitions
            .put(&*db, built_in::ORDER.file, built_in::ORDER.text)
            .await
            .unwrap();
        definitions.put(&*db, "trip.yaml", TRIP).await.unwrap();
        let (replies, incoming) = mpsc::channel(100);
        let (deliveries, delivered) = mpsc::channel(1_000);
        let bus = Arc::new(TestBus {
            deliveries,
            workers: Mutex::default(),
        });
        let engine = Engine::spawn(EngineDeps {
            db: Arc::clone(&db) as Arc<dyn Db>,
            bus: Arc::clone(&bus) as Arc<dyn Bus>,
            replies: incoming,
            deliveries: delivered,
            definitions,
            replica: "test".to_owned(),
            limits: Limits::default(),
            idempotency_life: Duration::from_secs(24 * 3600),
        });
        let engine = engine.await.unwrap();
        let readiness = Arc::<Readiness>::default();
        readiness.started();
        let state = HttpState {
            engine: Arc::clone(&engine) as Arc<dyn EngineHandle>,
            db: Arc::clone(&db) as Arc<dyn Db>,
            bus: Arc::clone(&bus) as Arc<dyn Bus>,
            settings,
            readiness: Arc::clone(&readiness),
            metrics,
        };
        Self {
            router: router(state),
            engine,
            db,
            bus,
            readiness,
            replies,
            _dir: dir,
        }
    }

    pub async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answered {
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

    pub async fn get(&self, path: &str) -> Answered {
        self.call(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answered {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answered {
        self.call(Method::POST, path, headers, Some(body)).await
    }

    /// Places an order; its id.
    pub async fn order(&self) -> Uuid {
        let placed = self.post("/orders", &an_order()).await;
        assert_eq!(placed.status, 202, "{}", placed.text());
        id_of(&placed)
    }

    /// Starts a trip; its id.
    pub async fn trip(&self) -> Uuid {
        let started = self
            .post(
                "/sagas",
                &json!({"workflow": "trip", "input": {"secret": "s", "to": "Rome"}}),
            )
            .await;
        assert_eq!(started.status, 202, "{}", started.text());
        id_of(&started)
    }

    /// The saga of that workflow that runs, as soon as it is there. Lets the others go on meanwhile: a start that is
    /// awaited elsewhere gives no other sign.
    pub async fn only_saga(&self, workflow: &str) -> Uuid {
        loop {
            let found = self
                .get(&format!("/sagas?workflow={workflow}&status=running"))
                .await
                .json();
            if let Some(saga) = found["sagas"].as_array().unwrap().first() {
                return saga["id"].as_str().unwrap().parse().unwrap();
            }
            tokio::task::yield_now().await;
        }
    }

    pub async fn saga(&self, id: Uuid) -> Saga {
        Saga::from_json(&self.db.saga(id).await.unwrap().unwrap().state).unwrap()
    }

    /// A worker answers the command that is out for that step.
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
        let (tell, told) = oneshot::channel();
        let ack = Ack::new(move || tell.send(()).unwrap());
        self.replies
            .send(IncomingReply {
                reply,
                envelope: Envelope::default(),
                ack,
            })
            .await
            .unwrap();
        told.await.unwrap();
    }

    pub async fn done(&self, id: Uuid, step: &str) {
        self.reply(id, step, |reply| {
            reply.output = Some(Payload::from(json!({"of": step, "pin": 7})))
        })
        .await;
    }

    pub async fn accepted(&self, id: Uuid, step: &str) {
        self.reply(id, step, |reply| reply.outcome = ReplyOutcome::Accepted)
            .await;
    }

    /// It failed for good.
    pub async fn failed(&self, id: Uuid, step: &str, code: &str) {
        self.reply(id, step, |reply| {
            reply.outcome = ReplyOutcome::Failed;
            reply.error = Some(Failure::permanent(code, "said the worker"));
        })
        .await;
    }

    /// All that goes backwards is undone.
    pub async fn undo_all(&self, id: Uuid) {
        while let Some(step) = {
            let saga = self.saga(id).await;
            let step = saga
                .steps
                .iter()
                .find(|step| step.status == saga_core::saga::StepStatus::Compensating);
            step.map(|step| step.name.clone())
        } {
            self.reply(id, &step, |_| {}).await;
        }
    }
}

pub fn an_order() -> Value {
    json!({
        "customer": "c-1", "store": "s-1", "items": [{"menu": "big mac", "quantity": 2, "price": 550}],
        "currency": "EUR", "fulfilment": "delivery", "payment": {"method": "card", "token": "tok_visa"}
    })
}

#[track_caller]
pub fn id_of(answered: &Answered) -> Uuid {
    answered.json()["id"].as_str().unwrap().parse().unwrap()
}
