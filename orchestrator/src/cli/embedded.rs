//! An embedded server as a process of its own, for `bench --embedded`: so that its cost can be told from the client's.

use super::exit::{Exit, Failure};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// A server that does not say where it is by then will not.
const START: Duration = Duration::from_secs(20);

/// A server in a folder of its own, both gone when this is dropped.
pub struct Child {
    process: tokio::process::Child,
    url: String,
    _folder: TempDir,
}

impl Child {
    /// Starts this very program, embedded, on a free port.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start() -> Result<Self, Failure> {
        let told = |error: &dyn std::fmt::Display| {
            Failure::failed("an embedded server cannot be started", error)
        };
        let folder = tempfile::tempdir().map_err(|error| told(&error))?;
        let program = std::env::current_exe().map_err(|error| told(&error))?;
        let mut process = Command::new(program)
            .env("LISTEN", "127.0.0.1:0")
            .env("DATA_DIR", folder.path())
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| told(&error))?;
        let stderr = process
            .stderr
            .take()
            .ok_or_else(|| told(&"it has no stderr"))?;
        let mut lines = BufReader::new(stderr).lines();
        let found = tokio::time::timeout(START, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(url) = url_in(&line) {
                    return Some(url);
                }
                eprintln!("{line}");
            }
            None
        });
        let url = found.await.ok().flatten();
        let url = url.ok_or_else(|| {
            Failure::new(Exit::Unavailable, "the embedded server did not come up")
        })?;
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
            _folder: folder,
        })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id().unwrap_or(0)
    }

    /// Ends it; what it has is thrown away, so it need not leave in good order.
    pub async fn stop(mut self) {
        if let Err(error) = self.process.kill().await {
            eprintln!("orchestrator: the embedded server cannot be ended: {error}");
        }
    }
}

fn url_in(line: &str) -> Option<String> {
    let at = line.find("http://127.0.0.1:")?;
    Some(
        line[at..]
            .split_whitespace()
            .next()?
            .trim_end_matches('/')
            .to_owned(),
    )
}
