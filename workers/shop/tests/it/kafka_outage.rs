//! The program `workers` while neither Kafka nor a database is reachable.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the log is read. librdkafka reconnects several times a second and reports each failure.
const OBSERVATION: Duration = Duration::from_secs(4);

#[test]
fn unavailable_kafka_is_logged_once() {
    // The listener is dropped at once, so connections to its port are refused.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut workers = Command::new(env!("CARGO_BIN_EXE_workers"))
        .args(["run", "order"])
        .env("KAFKA_BROKERS", address.to_string())
        .env("DATABASE_URL", "postgres://user@127.0.0.1:1/unreachable")
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let stderr = BufReader::new(workers.stderr.take().unwrap());
    let lines =
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).collect::<Vec<_>>());
    while start.elapsed() < OBSERVATION {
        assert!(
            workers.try_wait().unwrap().is_none(),
            "the program exits instead of waiting for Kafka"
        );

        std::thread::sleep(Duration::from_millis(50));
    }

    workers.kill().unwrap();
    workers.wait().unwrap();
    let lines = lines.join().unwrap();
    let warnings = lines
        .iter()
        .filter(|line| line.contains(&format!("Kafka at {address} does not answer")))
        .count();

    assert_eq!((warnings, lines.len()), (1, 1), "{lines:#?}");
}
