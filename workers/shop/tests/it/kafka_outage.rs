//! The program `workers`, where nothing that it needs is there.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// librdkafka tries several times a second, and would say so each time.
const LISTEN: Duration = Duration::from_secs(4);

#[test]
fn unavailable_kafka_is_logged_once() {
    // Nobody listens at a port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut workers = Command::new(env!("CARGO_BIN_EXE_workers"))
        .args(["run", "order"])
        .env("KAFKA_BROKERS", address.to_string())
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let stderr = BufReader::new(workers.stderr.take().unwrap());
    let lines =
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).collect::<Vec<_>>());
    while began.elapsed() < LISTEN {
        assert!(workers.try_wait().unwrap().is_none(), "it waits for Kafka");
        std::thread::sleep(Duration::from_millis(50));
    }
    workers.kill().unwrap();
    workers.wait().unwrap();
    let lines = lines.join().unwrap();
    let told = lines
        .iter()
        .filter(|line| line.contains(&format!("Kafka at {address} does not answer")))
        .count();
    assert_eq!((told, lines.len()), (1, 1), "{lines:#?}");
}
