//! Separate processes on PostgreSQL and Kafka: a payment gateway, workers, orchestrators; a database and topics of its
//! own.

use crate::api::Api;
use crate::invariants::{Ends, Records, check};
use crate::process::{Held, Process, free_port};
use crate::skip::need;
use orchestrator::db::Target;
use saga_worker::ledger::LedgerTarget;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use uuid::Uuid;

/// The workers of an order.
pub const WORKERS: [&str; 4] = ["order", "pay", "store", "deliver"];

/// How a cluster is set up.
pub struct Setup {
    /// How many orchestrators.
    pub orchestrators: usize,
    /// How many members each worker has, each a process of its own.
    pub members: usize,
    /// The workers' `AUTO`.
    pub auto: &'static str,
    /// No other cluster runs beside it: it is going to break PostgreSQL or Kafka, which all of them share.
    pub alone: bool,
}

/// Who may use PostgreSQL and Kafka: many at once, or one that breaks them.
static SERVICES: RwLock<()> = RwLock::const_new(());

/// Held as long as a cluster runs.
enum Share {
    Many(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held, not read")] RwLockWriteGuard<'static, ()>),
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            orchestrators: 1,
            members: 1,
            auto: "0s",
            alone: false,
        }
    }
}

/// Everything that a test has running.
pub struct Cluster {
    /// By number; several where several were asked for.
    pub orchestrators: Vec<Orchestrator>,
    /// Each worker's members, in the order of [`WORKERS`].
    pub workers: Vec<Vec<Process>>,
    /// The payment gateway.
    pub gateway: Process,
    /// Where its books are.
    pub gateway_url: String,
    /// This test's database.
    pub database_url: String,
    /// What all this test's topics begin with.
    pub prefix: String,
    /// The brokers.
    pub brokers: String,
    auto: &'static str,
    admin_url: String,
    database: String,
    folder: TempDir,
    _share: Share,
}

/// One orchestrator process.
pub struct Orchestrator {
    /// The process.
    pub process: Process,
    /// Its HTTP side.
    pub api: Api,
    port: u16,
}

impl Cluster {
    /// Starts all processes and waits until every orchestrator is ready. `None`: a real part is missing, and was said
    /// so.
    ///
    /// # Panics
    /// If a part does not come up.
    pub async fn start(test: &str, setup: Setup) -> Option<Self> {
        let admin_url = need("DATABASE_URL", test)?;
        let brokers = need("KAFKA_BROKERS", test)?;
        let share = if setup.alone {
            Share::Alone(SERVICES.write().await)
        } else {
            Share::Many(SERVICES.read().await)
        };
        let database = format!("t_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(&admin_url)
            .await
            .expect("PostgreSQL answers");
        let create = sqlx::AssertSqlSafe(format!("create database {database}"));
        sqlx::raw_sql(create)
            .execute(&mut connection)
            .await
            .expect("a database of its own");
        let database_url = format!(
            "{}/{database}",
            admin_url.rsplit_once('/').expect("a URL with a database").0
        );
        let folder = tempfile::tempdir().expect("a folder");
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
            auto: setup.auto,
            admin_url,
            database,
            folder,
            _share: share,
        };
        for _ in 0..setup.orchestrators {
            cluster.add_orchestrator();
        }
        for worker in WORKERS {
            let members = (0..setup.members)
                .map(|_| cluster.start_worker(worker))
                .collect();
            cluster.workers.push(members);
        }
        for orchestrator in &cluster.orchestrators {
            orchestrator.api.ready().await;
        }
        // One that was stopped amid its migrations would hold the lock that all the others wait for.
        cluster.api().members(WORKERS.len() * setup.members).await;
        Some(cluster)
    }

    /// The first orchestrator's HTTP side.
    pub fn api(&self) -> &Api {
        &self.orchestrators[0].api
    }

    /// The members of a worker.
    ///
    /// # Panics
    /// If there is no such worker.
    pub fn members(&mut self, worker: &str) -> &mut Vec<Process> {
        &mut self.workers[index_of(worker)]
    }

    /// The first member of that worker stands still until this is dropped.
    ///
    /// # Panics
    /// If there is no such worker.
    pub fn hold(&self, worker: &str) -> Held<'_> {
        self.workers[index_of(worker)][0].hold()
    }

    /// Where it is written what it has done.
    pub fn records(&self) -> Records {
        Records {
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

    /// One more orchestrator.
    pub fn add_orchestrator(&mut self) {
        let port = free_port();
        let process = self.start_orchestrator(port);
        self.orchestrators.push(Orchestrator {
            process,
            api: Api::new(port),
            port,
        });
    }

    /// The same orchestrator again, after it was killed.
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

    /// One more member of a worker.
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

    /// Once all is quiet: checks what must hold and that so many sagas came to each end, ends everything in good order,
    /// and drops the database.
    ///
    /// # Panics
    /// If an invariant does not hold, or a process does not leave with 0.
    pub async fn end(mut self, ends: Ends) {
        assert_eq!(check(&self.records()).await, ends);
        for orchestrator in &mut self.orchestrators {
            assert_eq!(
                orchestrator.process.end(),
                Some(0),
                "an orchestrator leaves in good order"
            );
        }
        for member in self.workers.iter_mut().flatten() {
            assert_eq!(
                member.end(),
                Some(0),
                "a worker leaves in good order: {}",
                member.tail()
            );
        }
        self.gateway.end();
        let mut connection = PgConnection::connect(&self.admin_url)
            .await
            .expect("PostgreSQL answers");
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
