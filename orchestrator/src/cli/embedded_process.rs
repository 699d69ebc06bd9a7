//! An embedded server in a process of its own, for `bench --embedded`: its cost is measured apart from the client's.

use super::exit::{Exit, Failure};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A server that has not printed its URL within this time has failed to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A server with a temporary directory. Dropping it kills the process and removes the directory.
pub struct EmbeddedProcess {
    process: Child,
    url: String,
    _directory: TempDir,
}

impl EmbeddedProcess {
    /// Starts this program as an embedded server on a free port.
    ///
    /// # Errors
    /// If it does not start in time.
    pub async fn start() -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::failed("failed to start the embedded server", error);

        let directory = tempfile::tempdir().map_err(failed)?;
        let program = std::env::current_exe().map_err(failed)?;
        let mut process = Command::new(program)
            .env("LISTEN", "127.0.0.1:0")
            .env("DATA_DIR", directory.path())
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;

        let stderr = process.stderr.take().expect("stderr is piped");
        let mut lines = BufReader::new(stderr).lines();
        let found = tokio::time::timeout(START_TIMEOUT, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(url) = url_in(&line) {
                    return Some(url);
                }
                eprintln!("{line}");
            }
            None
        });
        let url = found.await.ok().flatten().ok_or_else(|| {
            Failure::new(
                Exit::Unavailable,
                "the embedded server did not start in time",
            )
        })?;

        // The pipe must be read to the end, or the server would block on a full one.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("WARN") || line.contains("ERROR") {
                    eprintln!("{line}");
                }
            }
        });
        Ok(Self {
            process,
            url,
            _directory: directory,
        })
    }

    /// The URL of the server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.process.id().unwrap_or(0)
    }

    /// Kills the process: its data is temporary, so a graceful shutdown is not needed.
    pub async fn stop(mut self) {
        if let Err(error) = self.process.kill().await {
            eprintln!("orchestrator: failed to stop the embedded server: {error}");
        }
    }
}

fn url_in(line: &str) -> Option<String> {
    let start = line.find("http://127.0.0.1:")?;
    let url = line[start..].split_whitespace().next()?;
    Some(url.trim_end_matches('/').to_owned())
}
