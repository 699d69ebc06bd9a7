//! Tests of the engine on a SQLite database and a scripted bus.

mod built_in;
mod faults;
mod lifecycle;
mod scripted_bus;
mod timers;
mod unconsumed;

use super::{
    ApplyError, ApplyOutcome, Definitions, Engine, EngineDeps, EngineHandle, Limits, StartError,
    StartOutcome, StartRequest, SubmitError,
};
use crate::bus::BusChannels;
use crate::db::{FaultyDb, QueryStore, SagaStore, SchemaStore, Sqlite};
use saga_core::saga::Saga;
use saga_core::transition::Input;
use saga_core::transition::input::{OperatorRequest, Start};
use saga_protocol::Payload;
use scripted_bus::{Script, ScriptedBus};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Longer than any step of these tests takes.
const TIMEOUT_OF_TEST: Duration = Duration::from_secs(20);

const CHAIN: &str = r"
workflow: chain
version: 1
steps:
  - name: first
    retry: { attempts: 3, first: 10ms, factor: 1 }
  - name: second
    retry: { attempts: 3, first: 10ms, factor: 1 }
    compensation: { retry: { attempts: 2, first: 10ms, factor: 1 } }
  - name: third
    timeout: 150ms
    retry: { attempts: 1 }
";

struct TestEngine {
    engine: Arc<Engine>,
    bus: Arc<ScriptedBus>,
    db: Arc<FaultyDb>,
    folder: Arc<TempDir>,
}

impl TestEngine {
    async fn new(script: Script) -> Self {
        Self::with_limits(
            Arc::new(tempfile::tempdir().expect("a folder")),
            Limits::default(),
            script,
        )
        .await
    }

    async fn with_limits(folder: Arc<TempDir>, limits: Limits, script: Script) -> Self {
        let sqlite = Sqlite::open(folder.path().join("saga.db"))
            .await
            .expect("a database");
        let db = Arc::new(FaultyDb::new(sqlite));
        db.migrate().await.expect("a schema");
        let definitions = Arc::new(Definitions::default());
        definitions
            .put(&*db, "chain.yaml", CHAIN)
            .await
            .expect("a definition");
        let (replies, replies_end) = mpsc::channel(1_000);
        let (deliveries, deliveries_end) = mpsc::channel(1_000);
        let bus = ScriptedBus::start(
            BusChannels {
                replies,
                deliveries,
            },
            script,
        );
        let engine = Engine::spawn(EngineDeps {
            db: Arc::clone(&db) as _,
            bus: Arc::clone(&bus) as _,
            replies: replies_end,
            deliveries: deliveries_end,
            definitions,
            replica: "test".to_owned(),
            limits,
            idempotency_life: Duration::from_secs(3600),
        })
        .await
        .expect("an engine");
        Self {
            engine,
            bus,
            db,
            folder,
        }
    }

    async fn apply(&self, saga_id: Uuid, input: Input) -> Result<ApplyOutcome, ApplyError> {
        self.engine.apply(saga_id, input, None).await
    }

    async fn start(&self) -> Uuid {
        let saga_id = Uuid::now_v7();
        let answer = self
            .engine
            .start(start_request(saga_id, saga_id.to_string()))
            .await
            .expect("started");
        assert!(matches!(answer, StartOutcome::Started(_)));
        saga_id
    }

    async fn cancel(&self, saga_id: Uuid) -> Result<ApplyOutcome, ApplyError> {
        self.apply(saga_id, Input::Cancel(reason())).await
    }

    async fn wait_for(&self, saga_id: Uuid, reached: fn(&Saga) -> bool) -> Arc<Saga> {
        let saga = self
            .engine
            .wait_for(saga_id, reached, TIMEOUT_OF_TEST)
            .await
            .expect("the database answers")
            .expect("it exists");
        assert!(
            reached(&saga),
            "not there within {TIMEOUT_OF_TEST:?}: {saga:?}"
        );
        if saga.status.is_finished() {
            self.assert_history_replays(saga_id).await;
        }
        saga
    }

    /// I6: the saga's history, applied again, gives its stored state byte for byte.
    async fn assert_history_replays(&self, id: Uuid) {
        let entries = self
            .db
            .history(id, None, 500)
            .await
            .expect("answered")
            .entries;
        let read = |entry: crate::db::HistoryEntry| {
            let mut value: serde_json::Value =
                serde_json::from_slice(&entry.entry).expect("an entry is JSON");
            value["revision"] = entry.revision.into();
            value["at"] = entry.at.to_string().into();
            serde_json::from_value::<saga_core::replay::HistoryEntry>(value).expect("an entry")
        };
        let entries: Vec<_> = entries.into_iter().map(read).collect();
        let stored = self
            .db
            .saga(id)
            .await
            .expect("answered")
            .expect("it exists");
        let saga = Saga::from_json(&stored.state).expect("a saga");
        let known = self
            .engine
            .definitions()
            .get(&saga.workflow, saga.version)
            .expect("a definition");
        let replayed = saga_core::replay::replay(&known.definition, &entries).expect("I6");
        assert_eq!(replayed.to_json().expect("JSON"), stored.state, "I6");
    }

    /// Stops the engine; nothing may be left over (I12, and an empty outbox).
    async fn shutdown(self) {
        self.engine.stop().await;
        assert_eq!(
            self.db.stranded_sagas(10).await.expect("answered"),
            Vec::<Uuid>::new(),
            "I12"
        );
        let (pending, _) = self.db.outbox_backlog().await.expect("answered");
        assert_eq!(
            pending, 0,
            "everything published was acknowledged and removed"
        );
    }
}

fn start_request(saga_id: Uuid, key: String) -> StartRequest {
    let start = Start {
        saga_id,
        key,
        correlation_id: "test".to_owned(),
        input: Payload::empty(),
        by: "test".to_owned(),
    };
    StartRequest {
        workflow: "chain".to_owned(),
        version: None,
        idempotency_key: None,
        start,
    }
}

fn reason() -> OperatorRequest {
    OperatorRequest {
        reason: "changed my mind".to_owned(),
        by: "test".to_owned(),
    }
}
