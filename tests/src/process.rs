//! A process under test: started with its own environment, logged to a file, killed with the test.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Keeps a process frozen until it is dropped.
pub struct FreezeGuard<'a>(&'a Process);

impl Drop for FreezeGuard<'_> {
    fn drop(&mut self) {
        self.0.resume();
    }
}

/// A running program.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program of this workspace. Its output goes to `folder/name.log`.
    ///
    /// # Panics
    /// If the program does not start.
    pub fn start(
        program: &str,
        name: &str,
        folder: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file");
        let child = Command::new(program_folder().join(program))
            .args(arguments)
            .env_remove("DATABASE_URL")
            .env_remove("KAFKA_BROKERS")
            .env("RUST_LOG", "info")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        Self {
            child,
            name: name.to_owned(),
            log,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends SIGKILL and waits for the exit.
    pub fn kill(&mut self) {
        self.signal("KILL");
        let _status = self.child.wait();
    }

    /// Sends SIGSTOP.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Sends SIGCONT.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Freezes the process until the guard is dropped.
    pub fn freeze_scoped(&self) -> FreezeGuard<'_> {
        self.freeze();
        FreezeGuard(self)
    }

    /// Sends SIGTERM and returns the exit code.
    ///
    /// # Panics
    /// If the process has not exited after 30 s.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        let started_at = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            assert!(
                started_at.elapsed() < Duration::from_secs(30),
                "{} does not exit: {}",
                self.name,
                self.tail()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether the process has exited.
    pub fn has_exited(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The last lines of the log.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args(["-s", signal, &pid])
            .stderr(Stdio::null())
            .status();
        assert!(sent.is_ok(), "kill is installed");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_exited() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- last log lines of {}:\n{}", self.name, self.tail());
        }
    }
}

/// The folder of the built programs. They are built once per test run, so that a test never runs a stale one.
///
/// # Panics
/// If the programs do not build.
pub fn program_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let executable = std::env::current_exe().expect("the test has a path");
        // target/PROFILE/deps/TEST
        let folder = executable
            .ancestors()
            .nth(2)
            .expect("the test is in a profile's folder");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };

        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // The same packages as `cargo test --workspace`: building a part of the workspace would select other
        // features and compile the dependencies again.
        let built = Command::new(cargo)
            .args([
                "build",
                "-q",
                "--workspace",
                "--tests",
                "--profile",
                profile,
            ])
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the programs do not build"
        );
        folder.to_owned()
    })
}

/// A port that was free a moment ago, below the range that operating systems assign to clients.
///
/// # Panics
/// If no port is free.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 8_000;
    let free = (0..COUNT).find_map(|_| {
        let number = std::process::id()
            .wrapping_mul(97)
            .wrapping_add(NEXT.fetch_add(1, Relaxed))
            % COUNT;
        let port = u16::try_from(FIRST + number).ok()?;
        TcpListener::bind(("127.0.0.1", port))
            .is_ok()
            .then_some(port)
    });
    free.expect("a free port")
}
