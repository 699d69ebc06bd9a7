//! The orchestrator alone, as a newcomer starts it: SQLite, all workers and the gateway in one process.

use crate::api::Api;
use crate::invariants::{Ends, Records, check};
use crate::process::{Process, free_port};
use orchestrator::db::Target;
use saga_worker::ledger::{Ledger, LedgerTarget, Tx};
use std::path::PathBuf;
use tempfile::TempDir;

/// What stands in the log before the gateway's address.
const GATEWAY: &str = "the payment gateway's simulator is at ";

/// One embedded orchestrator.
pub struct Embedded {
    /// The process.
    pub process: Process,
    /// Its HTTP side.
    pub api: Api,
    folder: TempDir,
    port: u16,
    auto: &'static str,
}

impl Embedded {
    /// Starts it in a folder of its own.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start(auto: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let process = run(&folder, port, auto);
        let embedded = Self {
            process,
            api: Api::new(port),
            folder,
            port,
            auto,
        };
        embedded.api.ready().await;
        embedded
    }

    /// `kill -9`, and again on the same data.
    pub async fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process = run(&self.folder, self.port, self.auto);
        self.api.ready().await;
    }

    /// Where the gateway of this process is: it says so when it starts.
    ///
    /// # Panics
    /// If it has not said so.
    pub fn gateway_url(&self) -> String {
        let said = self.process.said();
        let (_, rest) = said
            .rsplit_once(GATEWAY)
            .expect("it says where its gateway is");
        rest.split_whitespace()
            .next()
            .expect("an address")
            .to_owned()
    }

    /// Where it is written what it has done.
    pub fn records(&self) -> Records {
        Records {
            engine: Target::Sqlite {
                path: self.data().join("saga.db"),
            },
            workers: self.ledgers(),
            gateway: self.gateway_url(),
        }
    }

    /// That worker stands still until this is dropped: another has its ledger's file for itself, as a backup would.
    ///
    /// # Panics
    /// If the file is not there.
    pub async fn hold(&self, worker: &str) -> Tx {
        let ledger = Ledger::open_existing(worker, &self.ledgers())
            .await
            .expect("it can be opened");
        ledger
            .expect("every worker has one")
            .begin()
            .await
            .expect("it is lent for a moment")
    }

    /// Once all is quiet: checks what must hold and that so many sagas came to each end, and ends it in good order.
    ///
    /// # Panics
    /// If an invariant does not hold, or it does not leave with 0.
    pub async fn end(mut self, ends: Ends) {
        assert_eq!(check(&self.records()).await, ends);
        assert_eq!(
            self.process.end(),
            Some(0),
            "it leaves in good order: {}",
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
