//! A process of ours: started with its own environment, logged to a file, ended with the test.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A process that stands still as long as this is held.
pub struct Held<'a>(&'a Process);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.thaw();
    }
}

/// One running program.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `program` (of this workspace) with these arguments and variables; its output goes to `folder/name.log`.
    ///
    /// # Panics
    /// If it cannot be started.
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
        let child = Command::new(binary(program))
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

    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`: it gets no word in.
    pub fn kill(&mut self) {
        self.signal("KILL");
        let _status = self.child.wait();
    }

    /// SIGSTOP: it stays, and does nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Frozen until the answer is dropped.
    pub fn hold(&self) -> Held<'_> {
        self.freeze();
        Held(self)
    }

    /// SIGTERM, and its exit code once it has left.
    ///
    /// # Panics
    /// If it has not left after half a minute.
    pub fn end(&mut self) -> Option<i32> {
        self.signal("TERM");
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{} does not leave: {}",
                self.name,
                self.tail()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The last lines it said.
    pub fn tail(&self) -> String {
        let said = self.said();
        let lines: Vec<_> = said.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args(["-s", signal, &pid])
            .stderr(Stdio::null())
            .status();
        assert!(sent.is_ok(), "kill is part of every system");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- {} said last:\n{}", self.name, self.tail());
        }
    }
}

/// The built program. Built once a test run, so that a test never meets a stale one.
fn binary(program: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // As `cargo test --workspace` has built them: for a part of it, dependencies would be built anew, with other
        // features.
        let built = Command::new(cargo)
            .args(["build", "-q", "--workspace", "--tests"])
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the programs do not build"
        );
        let own = std::env::current_exe().expect("a test has a path");
        own.ancestors()
            .nth(2)
            .expect("it is in target/debug/deps")
            .to_owned()
    });
    folder.join(program)
}

/// A port that was free a moment ago, and that nobody gets by chance: below those that systems lend to clients.
///
/// # Panics
/// If the machine has none left.
pub fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 8_000;
    let free = (0..COUNT).find_map(|_| {
        let number = std::process::id()
            .wrapping_mul(97)
            .wrapping_add(ASKED.fetch_add(1, Relaxed))
            % COUNT;
        let port = u16::try_from(FIRST + number).ok()?;
        TcpListener::bind(("127.0.0.1", port))
            .is_ok()
            .then_some(port)
    });
    free.expect("a free port")
}
