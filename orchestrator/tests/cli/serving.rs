//! The server as a process: its start, its answers while a service is missing, and its shutdown.

use super::program::{ProgramOutput, program, run};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for a condition: far longer than it takes on a busy machine, so only a failing test waits.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Between two polls of a condition that has no notification.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A server under test; killed if the test ends early.
pub struct Server {
    process: Child,
    pub url: String,
    /// Its stderr up to the line with its URL.
    startup_log: String,
}

impl Server {
    /// Starts the program on a free port, with these environment variables, and waits until it logs its URL.
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = program(arguments);
        command
            .env("LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied());
        let mut process = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("failed to run the program");

        let mut lines = BufReader::new(process.stderr.take().expect("stderr is piped"));
        let mut startup_log = String::new();
        let mut url = None;

        while url.is_none() {
            let line_start = startup_log.len();
            assert!(
                lines
                    .read_line(&mut startup_log)
                    .expect("failed to read stderr")
                    > 0,
                "the server exited: {startup_log}"
            );
            url = startup_log[line_start..]
                .split_whitespace()
                .find(|word| word.starts_with("http://"))
                .map(str::to_owned);
        }

        // The rest of stderr is read and discarded: otherwise the pipe fills up and blocks the server.
        std::thread::spawn(move || lines.read_to_string(&mut String::new()));

        Self {
            process,
            url: url.expect("the loop ends with a URL"),
            startup_log,
        }
    }

    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let response = reqwest::get(format!("{}{path}", self.url)).await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// Polls until the path answers with the status, and returns the body. The only polling helper of these tests.
    pub async fn wait_for_status(&self, path: &str, status: u16) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let response = self.get(path).await;
            match response {
                Some((actual, body)) if actual == status => return body,
                _ => assert!(
                    Instant::now() < deadline,
                    "{path}: expected status {status}, got {response:?}"
                ),
            }

            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends SIGTERM, waits until the server exits, and returns the exit code.
    pub fn terminate(mut self) -> i32 {
        let kill = format!("kill -TERM {}", self.process.id());
        assert!(
            std::process::Command::new("sh")
                .args(["-c", &kill])
                .status()
                .expect("failed to run sh")
                .success()
        );

        self.process
            .wait()
            .expect("failed to wait for the server")
            .code()
            .expect("the server was ended by a signal")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In most tests the server has already exited; then this has no effect.
        let _killed = self.process.kill();
        let _reaped = self.process.wait();
    }
}

const ORDER: &str = r#"{"customer":"c","store":"s","items":[{"menu":"m","quantity":1,"price":5}],
    "fulfilment":"delivery","payment":{"method":"card","token":"tok_visa"}}"#;

#[tokio::test]
async fn embedded_completes_an_order_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let server = Server::start(&[], &[("DATA_DIR", data)]);

    assert!(
        server.startup_log.contains("dashboard"),
        "{}",
        server.startup_log
    );
    assert_eq!(server.wait_for_status("/readyz", 200).await, "ok\n");

    let second_process = program(&["--listen", "127.0.0.1:0"])
        .env("DATA_DIR", data)
        .output()
        .unwrap();
    let second_process = ProgramOutput::from(second_process);
    assert_eq!(second_process.code, 1, "{second_process:?}");
    assert!(
        second_process
            .stderr
            .contains("another process uses the directory"),
        "{second_process:?}"
    );
    let port_conflict = run(&[
        "--listen",
        server.url.strip_prefix("http://").unwrap(),
        "--data-dir",
        "/nowhere",
    ]);
    assert_eq!(port_conflict.code, 1, "{port_conflict:?}");
    assert!(
        port_conflict
            .stderr
            .contains("another process has this port"),
        "{port_conflict:?}"
    );

    let post = reqwest::Client::new()
        .post(format!("{}/orders", server.url))
        .body(ORDER);
    let response = post
        .header("content-type", "application/json")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 202);
    let order: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let id = order["id"].as_str().unwrap().to_owned();
    let saga = format!("/sagas?status=completed&key={id}");
    let deadline = Instant::now() + TIMEOUT;
    while !server.wait_for_status(&saga, 200).await.contains(&id) {
        assert!(Instant::now() < deadline, "order {id} is not completed");
    }
    assert_eq!(server.terminate(), 0);

    let restarted = Server::start(&[], &[("DATA_DIR", data)]);
    assert!(
        restarted
            .wait_for_status(&format!("/orders/{id}"), 200)
            .await
            .contains("\"delivered\"")
    );
    assert_eq!(restarted.terminate(), 0);
}

#[tokio::test]
async fn serve_without_database_is_alive_but_not_ready() {
    let variables = [
        ("DATABASE_URL", "postgres://x@127.0.0.1:9/x"),
        ("KAFKA_BROKERS", "127.0.0.1:9"),
    ];
    let server = Server::start(&["serve"], &variables);

    assert_eq!(server.wait_for_status("/livez", 200).await, "ok\n");

    let deadline = Instant::now() + TIMEOUT;
    while !server
        .wait_for_status("/readyz", 503)
        .await
        .contains("the database is unavailable")
    {
        assert!(
            Instant::now() < deadline,
            "/readyz does not report the database"
        );
    }

    let problem = server.wait_for_status("/sagas", 503).await;
    assert!(problem.contains("\"status\":503"), "{problem}");
    assert_eq!(server.terminate(), 0);
}

#[tokio::test]
async fn serve_waits_for_migrations_and_shuts_down() {
    let services = [
        std::env::var("DATABASE_URL"),
        std::env::var("KAFKA_BROKERS"),
    ];
    let [Ok(url), Ok(brokers)] = services else {
        let skipped = "SKIPPED serve_waits_for_migrations_and_shuts_down: DATABASE_URL and KAFKA_BROKERS are not both set";
        assert!(
            std::env::var("REQUIRE").as_deref() != Ok("all"),
            "{skipped}"
        );

        println!("{skipped}");
        return;
    };

    let database = Database::create(&url).await;
    let prefix = format!("cli-{}.", uuid::Uuid::now_v7().simple());
    let shared = [
        ("DATABASE_URL", database.url.as_str()),
        ("KAFKA_BROKERS", &brokers),
        ("TOPIC_PREFIX", &prefix),
    ];
    let variables = [
        &shared[..],
        &[("MIGRATE", "off"), ("TOPIC_PARTITIONS", "1")],
    ]
    .concat();
    let server = Server::start(&["serve"], &variables);
    let deadline = Instant::now() + TIMEOUT;
    while !server
        .wait_for_status("/readyz", 503)
        .await
        .contains("orchestrator migrate")
    {
        assert!(
            Instant::now() < deadline,
            "/readyz does not report the missing migrations"
        );
    }

    let migrated = program(&["migrate"])
        .env("DATABASE_URL", &database.url)
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    assert_eq!(server.wait_for_status("/readyz", 200).await, "ok\n");
    assert_eq!(server.terminate(), 0);

    database.drop_database().await;
}

#[test]
fn migrate_without_database_is_unavailable() {
    let output = program(&["migrate"])
        .env("DATABASE_URL", "postgres://x@127.0.0.1:9/x")
        .output()
        .unwrap();
    let output = ProgramOutput::from(output);

    assert_eq!(output.code, 6, "{output:?}");
    assert!(
        output.stderr.contains("the database is unavailable"),
        "{output:?}"
    );
}

/// A PostgreSQL database that belongs to one test.
struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    async fn create(server: &str) -> Self {
        let name = format!("cli_{}", uuid::Uuid::now_v7().simple());
        execute(server, &format!("create database {name}")).await;
        let (base, _) = server.rsplit_once('/').expect("the URL names a database");
        Self {
            server: server.to_owned(),
            url: format!("{base}/{name}"),
            name,
        }
    }

    async fn drop_database(self) {
        execute(
            &self.server,
            &format!("drop database {} with (force)", self.name),
        )
        .await;
    }
}

async fn execute(url: &str, statement: &str) {
    use sqlx::{AssertSqlSafe, Connection, Executor};
    let mut connection = sqlx::PgConnection::connect(url)
        .await
        .expect("failed to connect to the database");
    connection
        .execute(AssertSqlSafe(statement.to_owned()))
        .await
        .expect("the statement failed");
}
