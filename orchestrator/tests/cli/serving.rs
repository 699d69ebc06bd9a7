//! The servers as processes: how they come up, what they say when something is missing, and how they leave.

use super::program::{Ran, program, run};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A server that is waited for longer than this has failed its test.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that has no signal.
const LOOK: Duration = Duration::from_millis(10);

/// A server under test; killed if the test ends early.
pub struct Server {
    process: Child,
    pub url: String,
    /// What it said until it said where it is.
    said: String,
}

impl Server {
    /// Starts it with these variables on a free port.
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = program(arguments);
        command
            .env("LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied());
        let mut process = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("it can be run");
        let mut lines = BufReader::new(process.stderr.take().expect("it has a stderr"));
        let (mut said, mut url) = (String::new(), None);
        while url.is_none() {
            let before = said.len();
            assert!(
                lines.read_line(&mut said).expect("its words can be read") > 0,
                "it ended: {said}"
            );
            url = said[before..]
                .split_whitespace()
                .find(|word| word.starts_with("http://"))
                .map(str::to_owned);
        }
        // Read on, or it would wait for room in the pipe.
        std::thread::spawn(move || lines.read_to_string(&mut String::new()));
        Self {
            process,
            url: url.expect("the loop ends with one"),
            said,
        }
    }

    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// Looks until the path answers with that status; the answer's body. The one polling helper of these tests.
    pub async fn until(&self, path: &str, status: u16) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            match answer {
                Some((got, body)) if got == status => return body,
                _ => assert!(
                    Instant::now() < until,
                    "{path} does not answer {status}, but {answer:?}"
                ),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sends SIGTERM, and waits for its end; the exit code.
    pub fn terminate(mut self) -> i32 {
        let kill = format!("kill -TERM {}", self.process.id());
        assert!(
            std::process::Command::new("sh")
                .args(["-c", &kill])
                .status()
                .expect("there is a shell")
                .success()
        );
        self.process
            .wait()
            .expect("it ends")
            .code()
            .expect("it ends by itself")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already in most tests; then this does nothing.
        let _ended = self.process.kill();
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
    assert!(server.said.contains("dashboard"), "{}", server.said);
    assert_eq!(server.until("/readyz", 200).await, "ok\n");

    let second = program(&["--listen", "127.0.0.1:0"])
        .env("DATA_DIR", data)
        .output()
        .unwrap();
    let second = Ran::from(second);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(
        second.stderr.contains("another process uses the directory"),
        "{second:?}"
    );
    let taken = run(&[
        "--listen",
        server.url.strip_prefix("http://").unwrap(),
        "--data-dir",
        "/nowhere",
    ]);
    assert_eq!(taken.code, 1, "{taken:?}");
    assert!(
        taken.stderr.contains("another process has this port"),
        "{taken:?}"
    );

    let post = reqwest::Client::new()
        .post(format!("{}/orders", server.url))
        .body(ORDER);
    let answer = post
        .header("content-type", "application/json")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 202);
    let order: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let id = order["id"].as_str().unwrap().to_owned();
    let saga = format!("/sagas?status=completed&key={id}");
    let until = Instant::now() + PATIENCE;
    while !server.until(&saga, 200).await.contains(&id) {
        assert!(Instant::now() < until, "the order is not delivered");
    }
    assert_eq!(server.terminate(), 0);

    let again = Server::start(&[], &[("DATA_DIR", data)]);
    assert!(
        again
            .until(&format!("/orders/{id}"), 200)
            .await
            .contains("\"delivered\"")
    );
    assert_eq!(again.terminate(), 0);
}

#[tokio::test]
async fn serve_without_database_is_alive_but_not_ready() {
    let variables = [
        ("DATABASE_URL", "postgres://x@127.0.0.1:9/x"),
        ("KAFKA_BROKERS", "127.0.0.1:9"),
    ];
    let server = Server::start(&["serve"], &variables);
    assert_eq!(server.until("/livez", 200).await, "ok\n");
    let until = Instant::now() + PATIENCE;
    while !server
        .until("/readyz", 503)
        .await
        .contains("the database is unavailable")
    {
        assert!(Instant::now() < until, "it does not say why");
    }
    let problem = server.until("/sagas", 503).await;
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
        let why = "SKIPPED serve_comes_up_with_postgres_and_kafka: DATABASE_URL and KAFKA_BROKERS are not both set";
        assert!(std::env::var("REQUIRE").as_deref() != Ok("all"), "{why}");
        println!("{why}");
        return;
    };
    let database = Database::create(&url).await;
    let prefix = format!("cli-{}.", uuid::Uuid::now_v7().simple());
    let shared = [
        ("DATABASE_URL", database.url.as_str()),
        ("KAFKA_BROKERS", &brokers),
        ("TOPIC_PREFIX", &prefix),
    ];
    let off = [
        &shared[..],
        &[("MIGRATE", "off"), ("TOPIC_PARTITIONS", "1")],
    ]
    .concat();
    let server = Server::start(&["serve"], &off);
    let until = Instant::now() + PATIENCE;
    while !server
        .until("/readyz", 503)
        .await
        .contains("orchestrator migrate")
    {
        assert!(Instant::now() < until, "it does not say what is missing");
    }
    let migrated = program(&["migrate"])
        .env("DATABASE_URL", &database.url)
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    assert_eq!(server.until("/readyz", 200).await, "ok\n");
    assert_eq!(server.terminate(), 0);
    database.drop_it().await;
}

#[test]
fn migrate_without_database_is_unavailable() {
    let ran = program(&["migrate"])
        .env("DATABASE_URL", "postgres://x@127.0.0.1:9/x")
        .output()
        .unwrap();
    let ran = Ran::from(ran);
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(
        ran.stderr.contains("the database is unavailable"),
        "{ran:?}"
    );
}

/// A database of the test's own.
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

    async fn drop_it(self) {
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
        .expect("the database answers");
    connection
        .execute(AssertSqlSafe(statement.to_owned()))
        .await
        .expect("it is done");
}
