//! A cluster of separate processes on PostgreSQL and Kafka: payment gateway, workers and orchestrators, with its own
//! database and topic prefix.

use crate::api::ApiClient;
use crate::invariants::{DataSources, FinalCounts, check_invariants};
use crate::process::{FreezeGuard, Process, free_port};
use crate::require::require_env;
use orchestrator::db::Target;
use saga_worker::ledger::LedgerTarget;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use uuid::Uuid;

/// The workers of the order workflow.
pub const WORKERS: [&str; 4] = ["order", "pay", "store", "deliver"];

/// What a test asks of its cluster.
pub struct ClusterConfig {
    /// Number of orchestrator processes.
    pub orchestrators: usize,
    /// Number of processes per worker.
    pub members: usize,
    /// `AUTO` of the workers.
    pub auto: &'static str,
    /// Runs while no other cluster does: the test breaks PostgreSQL or Kafka, which all clusters share.
    pub exclusive: bool,
}

/// Access to PostgreSQL and Kafka: shared by most tests, exclusive for one that breaks them.
static SERVICES: RwLock<()> = RwLock::const_new(());

/// The lock that a cluster holds while it runs.
enum ServiceAccess {
    Shared(#[expect(dead_code, reason = "held for its drop")] RwLockReadGuard<'static, ()>),
    Exclusive(#[expect(dead_code, reason = "held for its drop")] RwLockWriteGuard<'static, ()>),
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            orchestrators: 1,
            members: 1,
            auto: "0s",
            exclusive: false,
        }
    }
}

/// The processes of one test.
pub struct Cluster {
    /// The orchestrators, in start order.
    pub orchestrators: Vec<Orchestrator>,
    /// The members of each worker, in the order of [`WORKERS`].
    pub workers: Vec<Vec<Process>>,
    /// The payment gateway.
    pub gateway: Process,
    /// Base URL of the payment gateway.
    pub gateway_url: String,
    /// URL of this test's database.
    pub database_url: String,
    /// Topic prefix of this test.
    pub prefix: String,
    /// Kafka bootstrap servers.
    pub brokers: String,
    auto: &'static str,
    admin_url: String,
    database: String,
    folder: TempDir,
    _access: ServiceAccess,
}

/// One orchestrator process.
pub struct Orchestrator {
    /// The process.
    pub process: Process,
    /// Client of its HTTP API.
    pub api: ApiClient,
    port: u16,
}

impl Cluster {
    /// Starts all processes and waits until every orchestrator is ready. Returns `None` if PostgreSQL or Kafka is
    /// not configured; the skip is then printed.
    ///
    /// # Panics
    /// If a process does not become ready.
    pub async fn start(test: &str, config: ClusterConfig) -> Option<Self> {
        let admin_url = require_env("DATABASE_URL", test)?;
        let brokers = require_env("KAFKA_BROKERS", test)?;
        let access = if config.exclusive {
            ServiceAccess::Exclusive(SERVICES.write().await)
        } else {
            ServiceAccess::Shared(SERVICES.read().await)
        };
        let database = format!("t_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(&admin_url)
            .await
            .expect("PostgreSQL responses");
        let create = sqlx::AssertSqlSafe(format!("create database {database}"));
        sqlx::raw_sql(create)
            .execute(&mut connection)
            .await
            .expect("the database is created");
        let database_url = format!(
            "{}/{database}",
            admin_url.rsplit_once('/').expect("a URL with a database").0
        );
        let folder = tempfile::tempdir().expect("a temporary folder");
        let gateway_port = free_port();
        let listen = format!("127.0.0.1:{gateway_port}");
        let gateway = Process::start(
            "workers",
            "gateway",
            folder.path(),
            &["gateway"],
            &[("LISTEN", &listen)],
        );
        let mut cluster = Self {
            orchestrators: Vec::new(),
            workers: Vec::new(),
            gateway,
            gateway_url: format!("http://{listen}"),
            database_url,
            prefix: format!("{database}."),
            brokers,
            auto: config.auto,
            admin_url,
            database,
            folder,
            _access: access,
        };
        for _ in 0..config.orchestrators {
            cluster.add_orchestrator();
        }
        for worker in WORKERS {
            let members = (0..config.members)
                .map(|_| cluster.start_worker(worker))
                .collect();
            cluster.workers.push(members);
        }
        for orchestrator in &cluster.orchestrators {
            orchestrator.api.wait_until_ready().await;
        }
        // Wait for the members as well: a worker killed during its migrations would keep holding the migration lock
        // that all others wait for.
        cluster
            .api()
            .wait_for_members(WORKERS.len() * config.members)
            .await;
        Some(cluster)
    }

    /// Client of the first orchestrator.
    pub fn api(&self) -> &ApiClient {
        &self.orchestrators[0].api
    }

    /// The members of a worker.
    ///
    /// # Panics
    /// If there is no such worker.
    pub fn members(&mut self, worker: &str) -> &mut Vec<Process> {
        &mut self.workers[index_of(worker)]
    }

    /// Freezes the first member of a worker until the guard is dropped.
    ///
    /// # Panics
    /// If there is no such worker.
    pub fn freeze_scoped(&self, worker: &str) -> FreezeGuard<'_> {
        self.workers[index_of(worker)][0].freeze_scoped()
    }

    /// Where the invariants are read from.
    pub fn data_sources(&self) -> DataSources {
        DataSources {
            engine: Target::Postgres {
                url: self.database_url.clone(),
                shards: 1,
            },
            workers: LedgerTarget::Postgres {
                url: self.database_url.clone(),
            },
            gateway: self.gateway_url.clone(),
        }
    }

    /// Starts one more orchestrator.
    pub fn add_orchestrator(&mut self) {
        let port = free_port();
        let process = self.start_orchestrator(port);
        self.orchestrators.push(Orchestrator {
            process,
            api: ApiClient::new(port),
            port,
        });
    }

    /// Starts an orchestrator again after it was killed, on the same port.
    pub fn restart_orchestrator(&mut self, index: usize) {
        let process = self.start_orchestrator(self.orchestrators[index].port);
        self.orchestrators[index].process = process;
    }

    fn start_orchestrator(&self, port: u16) -> Process {
        let listen = format!("127.0.0.1:{port}");
        let mut variables = self.variables();
        variables.push(("LISTEN", &listen));
        Process::start(
            "orchestrator",
            &format!("orchestrator-{port}"),
            self.folder.path(),
            &["serve"],
            &variables,
        )
    }

    /// Starts one more member of a worker.
    pub fn start_worker(&self, worker: &str) -> Process {
        let mut variables = self.variables();
        variables.extend([
            ("PAYMENT_GATEWAY_URL", self.gateway_url.as_str()),
            ("AUTO", self.auto),
        ]);
        let name = format!("{worker}-{}", Uuid::now_v7().simple());
        Process::start(
            "workers",
            &name,
            self.folder.path(),
            &["run", worker],
            &variables,
        )
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        vec![
            ("DATABASE_URL", &self.database_url),
            ("KAFKA_BROKERS", &self.brokers),
            ("TOPIC_PREFIX", &self.prefix),
            ("TOPIC_PARTITIONS", "4"),
        ]
    }

    /// Checks the invariants and the number of sagas per final status, stops every process and drops the database.
    ///
    /// # Panics
    /// If an invariant is violated, or a process does not exit with 0.
    pub async fn stop(mut self, counts: FinalCounts) {
        assert_eq!(check_invariants(&self.data_sources()).await, counts);
        for orchestrator in &mut self.orchestrators {
            assert_eq!(
                orchestrator.process.stop(),
                Some(0),
                "orchestrator exits cleanly"
            );
        }
        for member in self.workers.iter_mut().flatten() {
            assert_eq!(
                member.stop(),
                Some(0),
                "worker exits cleanly: {}",
                member.tail()
            );
        }
        self.gateway.stop();
        let mut connection = PgConnection::connect(&self.admin_url)
            .await
            .expect("PostgreSQL responses");
        let drop = sqlx::AssertSqlSafe(format!("drop database {} with (force)", self.database));
        sqlx::raw_sql(drop)
            .execute(&mut connection)
            .await
            .expect("nothing holds the database");
    }
}

fn index_of(worker: &str) -> usize {
    WORKERS
        .iter()
        .position(|name| *name == worker)
        .expect("one of the four")
}
