//! The embedded orchestrator: SQLite, all workers and the payment gateway in one process.

use crate::api::ApiClient;
use crate::invariants::{DataSources, FinalCounts, check_invariants};
use crate::process::{Process, free_port};
use orchestrator::db::Target;
use saga_worker::ledger::{Ledger, LedgerTarget, Tx};
use std::path::PathBuf;
use tempfile::TempDir;

/// The log text in front of the gateway's address.
const GATEWAY: &str = "simulated payment gateway listening on ";

/// One embedded orchestrator.
pub struct Embedded {
    /// The process.
    pub process: Process,
    /// Client of its HTTP API.
    pub api: ApiClient,
    folder: TempDir,
    port: u16,
    auto: &'static str,
}

impl Embedded {
    /// Starts it with a temporary data folder.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn start(auto: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let process = run(&folder, port, auto);
        let embedded = Self {
            process,
            api: ApiClient::new(port),
            folder,
            port,
            auto,
        };
        embedded.api.wait_until_ready().await;
        embedded
    }

    /// Kills the process with SIGKILL and starts it again on the same data.
    pub async fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process = run(&self.folder, self.port, self.auto);
        self.api.wait_until_ready().await;
    }

    /// URL of the embedded payment gateway, read from the log.
    ///
    /// # Panics
    /// If the log does not contain it.
    pub fn gateway_url(&self) -> String {
        let said = self.process.log();
        let (_, rest) = said
            .rsplit_once(GATEWAY)
            .expect("the log contains the gateway address");
        rest.split_whitespace()
            .next()
            .expect("an address")
            .to_owned()
    }

    /// Where the invariants are read from.
    pub fn data_sources(&self) -> DataSources {
        DataSources {
            engine: Target::Sqlite {
                path: self.data().join("saga.db"),
            },
            workers: self.ledgers(),
            gateway: self.gateway_url(),
        }
    }

    /// Blocks a worker until the transaction is dropped, by locking its ledger file for writing.
    ///
    /// # Panics
    /// If the ledger does not exist.
    pub async fn freeze_scoped(&self, worker: &str) -> Tx {
        let ledger = Ledger::open_existing(worker, &self.ledgers())
            .await
            .expect("the ledger opens");
        ledger
            .expect("every worker has a ledger")
            .begin()
            .await
            .expect("the ledger file is locked")
    }

    /// Once all is quiet: checks what must hold and that so many sagas came to each end, and counts it in good order.
    ///
    /// # Panics
    /// If an invariant is violated, or the process does not exit with 0.
    pub async fn stop(mut self, counts: FinalCounts) {
        assert_eq!(check_invariants(&self.data_sources()).await, counts);
        assert_eq!(
            self.process.stop(),
            Some(0),
            "the process exits cleanly: {}",
            self.process.tail()
        );
    }

    fn data(&self) -> PathBuf {
        data(&self.folder)
    }

    fn ledgers(&self) -> LedgerTarget {
        LedgerTarget::Sqlite { dir: self.data() }
    }
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn run(folder: &TempDir, port: u16, auto: &str) -> Process {
    let listen = format!("127.0.0.1:{port}");
    let data = data(folder).display().to_string();
    let variables = [
        ("LISTEN", listen.as_str()),
        ("DATA_DIR", data.as_str()),
        ("AUTO", auto),
    ];
    Process::start(
        "orchestrator",
        "orchestrator",
        folder.path(),
        &[],
        &variables,
    )
}
