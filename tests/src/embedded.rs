//! The orchestrator alone, as a newcomer starts it: SQLite, all workers and the gateway in one process.

use crate::api::Api;
use crate::process::{Process, free_port};
use tempfile::TempDir;

/// One embedded orchestrator.
pub struct Embedded {
    /// The process.
    pub process: Process,
    /// Its HTTP side.
    pub api: Api,
    /// Its data.
    pub folder: TempDir,
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
        let embedded = Self { process, api: Api::new(port), folder, port, auto };
        embedded.api.ready().await;
        embedded
    }

    /// `kill -9`, and again on the same data.
    pub async fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process = run(&self.folder, self.port, self.auto);
        self.api.ready().await;
    }
}

fn run(folder: &TempDir, port: u16, auto: &str) -> Process {
    let listen = format!("127.0.0.1:{port}");
    let data = folder.path().join("data").display().to_string();
    let variables = [("LISTEN", listen.as_str()), ("DATA_DIR", data.as_str()), ("AUTO", auto)];
    Process::start("orchestrator", "orchestrator", folder.path(), &[], &variables)
}
