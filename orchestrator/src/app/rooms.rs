//! Opens the parts, from the bottom up, and waits for those that are away.

use super::starting::News;
use super::{Config, Place, embedded};
use crate::bus::kafka::{self, KafkaBus};
use crate::bus::{Bus, BusChannels, Delivery, IncomingReply};
use crate::config::DatabaseConfig;
use crate::db::{Db, DbError, Postgres};
use crate::engine::{Definitions, Engine, EngineDeps, Limits, PutDefinitionError};
use crate::http::{self, HttpSettings, HttpState, Readiness};
use axum::Router;
use saga_core::definition::built_in;
use saga_retry::Backoff;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Replies that the bus has handed over and no shard has taken yet: two batches. When it is full, the bus pauses.
const REPLIES: usize = 1_000;
/// What became of batches, not yet looked at: more than may be in flight at once, so that the bus never waits here.
const DELIVERIES: usize = 1_024;
/// With MIGRATE=off, the database is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Why a part cannot be opened, and no waiting would mend it.
#[derive(Debug, thiserror::Error)]
pub enum RoomsError {
    /// The folder cannot be used.
    #[error("the folder {folder} (DATA_DIR) cannot be used: {source}")]
    Folder {
        /// Which.
        folder: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another process works on the folder.
    #[error(
        "another process works on the folder {folder} (DATA_DIR); end it, or choose another folder with --data-dir"
    )]
    FolderTaken {
        /// Which.
        folder: String,
    },
    /// The database cannot be worked with.
    #[error("the database cannot be worked with: {0}")]
    Db(#[from] DbError),
    /// A workflow that comes with the program cannot be stored.
    #[error("a workflow that comes with this program cannot be stored: {0}")]
    BuiltIn(#[from] PutDefinitionError),
    /// The bus cannot be started.
    #[error(transparent)]
    Bus(#[from] kafka::BusError),
    /// A worker in the process cannot be started.
    #[error("worker {worker} cannot be started: {source}")]
    Worker {
        /// Which.
        worker: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// All parts, running.
pub(super) struct Opened {
    pub engine: Arc<Engine>,
    pub router: Router,
    pub way: Way,
}

/// The way to the workers.
pub(super) enum Way {
    Kafka(Arc<KafkaBus>),
    Inside(embedded::Inside),
}

/// The ends of the bus's channels that are the engine's.
pub(super) struct Ends {
    pub replies: mpsc::Receiver<IncomingReply>,
    pub deliveries: mpsc::Receiver<Delivery>,
}

/// The channels of a bus and their receiving ends.
pub(super) fn channels() -> (BusChannels, Ends) {
    let (replies, take_replies) = mpsc::channel(REPLIES);
    let (deliveries, take_deliveries) = mpsc::channel(DELIVERIES);
    (
        BusChannels {
            replies,
            deliveries,
        },
        Ends {
            replies: take_replies,
            deliveries: take_deliveries,
        },
    )
}

/// Opens all of them.
pub(super) async fn open(
    config: &Config,
    readiness: &Arc<Readiness>,
    news: &News,
) -> Result<Opened, RoomsError> {
    match &config.place {
        Place::Embedded { storage, workers } => {
            embedded::open(config, storage, workers, readiness, news).await
        }
        Place::Serve { database, kafka } => {
            let db = open_postgres(database, config.engine.shards, news).await?;
            let definitions = Arc::new(Definitions::default());
            patiently(news, "the workflows cannot be read", || {
                know(&definitions, &*db)
            })
            .await?;
            let (channels, ends) = channels();
            let replica = replica();
            let bus = KafkaBus::start(
                kafka_settings(kafka, &replica),
                channels,
                definitions.workers(),
            )?;
            let way = Way::Kafka(Arc::clone(&bus));
            engine_and_http(
                config,
                readiness,
                Below {
                    db,
                    bus,
                    definitions,
                    ends,
                    replica,
                },
                way,
                news,
            )
            .await
        }
    }
}

/// What the engine stands on.
pub(super) struct Below {
    pub db: Arc<dyn Db>,
    pub bus: Arc<dyn Bus>,
    pub definitions: Arc<Definitions>,
    pub ends: Ends,
    pub replica: String,
}

/// The upper half, the same wherever it stands.
pub(super) async fn engine_and_http(
    config: &Config,
    readiness: &Arc<Readiness>,
    below: Below,
    way: Way,
    news: &News,
) -> Result<Opened, RoomsError> {
    let Below {
        db,
        bus,
        definitions,
        ends,
        replica,
    } = below;
    patiently(news, "the database does not answer", || db.now()).await?;
    let order_version = u32::try_from(config.orders.order_version).unwrap_or(u32::MAX);
    if definitions.get("order", order_version).is_none() {
        tracing::warn!(
            "ORDER_VERSION is {order_version}, and workflow order has no such version: POST /orders fails"
        );
    }
    let deps = EngineDeps {
        db: Arc::clone(&db),
        bus: Arc::clone(&bus),
        replies: ends.replies,
        deliveries: ends.deliveries,
        definitions,
        replica: replica.clone(),
        limits: limits(config),
        idempotency_life: config.orders.idempotency_life,
    };
    let engine = Engine::spawn(deps).await?;
    let router = http::router(HttpState {
        engine: Arc::clone(&engine) as _,
        db,
        bus,
        settings: HttpSettings {
            currency: config.orders.currency.clone(),
            order_version,
            allow_faults: config.http.allow_faults,
            address: super::port::reachable(config.http.listen),
            replica,
            ..HttpSettings::default()
        },
        readiness: Arc::clone(readiness),
        metrics: config.metrics.clone(),
    });
    Ok(Opened {
        engine,
        router,
        way,
    })
}

/// Of the 16,384 batches that the bus in process takes.
const EMBEDDED_IN_FLIGHT: usize = 10_000;

fn limits(config: &Config) -> Limits {
    let embedded = matches!(config.place, Place::Embedded { .. });
    let config = &config.engine;
    let limits = Limits {
        shards: config.shards,
        max_batch: config.max_batch,
        max_queued_starts: config.max_queued_starts,
        ..Limits::default()
    };
    // In process a batch is on its way until its last command is answered: one slow step must not hold up the others.
    if embedded {
        Limits {
            max_in_flight: EMBEDDED_IN_FLIGHT,
            ..limits
        }
    } else {
        limits
    }
}

/// Knows all workflows that are stored, and stores those that come with the program.
pub(super) async fn know(definitions: &Definitions, db: &dyn Db) -> Result<(), RoomsError> {
    definitions.refresh(db).await?;
    for built_in in built_in::REGISTERED_AT_START {
        definitions.put(db, built_in.file, built_in.text).await?;
    }
    Ok(())
}

async fn open_postgres(
    database: &DatabaseConfig,
    shards: usize,
    news: &News,
) -> Result<Arc<dyn Db>, RoomsError> {
    let url = database.url.expose();
    let connect = || Postgres::connect(url, shards);
    let db: Arc<dyn Db> = Arc::new(patiently(news, "the database does not answer", connect).await?);
    match database.migrate_at_start {
        true => {
            patiently(news, "the database cannot be migrated yet", || db.migrate()).await?;
        }
        false => loop {
            let missing = patiently(news, "the database does not answer", || {
                db.missing_migrations()
            })
            .await?;
            if missing.is_empty() {
                break;
            }
            news.tell(format!(
                "MIGRATE is off, and the database lacks {}; `orchestrator migrate` mends that",
                missing.join(", ")
            ));
            tokio::time::sleep(LOOK_AGAIN).await;
        },
    }
    Ok(db)
}

/// AttemptState until it is done; an outage of the database is waited for, everything else is told.
pub(super) async fn patiently<T, E, F>(
    news: &News,
    doing: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, RoomsError>
where
    F: Future<Output = Result<T, E>>,
    E: Into<RoomsError>,
{
    let mut waits = Backoff::default();
    loop {
        match attempt().await.map_err(Into::into) {
            Err(
                RoomsError::Db(DbError::Unavailable(error))
                | RoomsError::BuiltIn(PutDefinitionError::Db(DbError::Unavailable(error))),
            ) => {
                news.tell(format!("{doing}: {error}"));
                tokio::time::sleep(waits.next_delay()).await;
            }
            done => return done,
        }
    }
}

fn kafka_settings(given: &crate::config::KafkaConfig, replica: &str) -> kafka::Settings {
    let mut settings = kafka::Settings::new(&given.brokers, replica);
    settings.properties = given.properties();
    settings.topic_prefix = given.topic_prefix.clone();
    settings.topic_partitions = i32::try_from(given.topic_partitions).unwrap_or(i32::MAX);
    settings
}

/// What this replica is called: its machine, or its pod.
fn replica() -> String {
    let name = std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let name = name
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "local".to_owned())
}
