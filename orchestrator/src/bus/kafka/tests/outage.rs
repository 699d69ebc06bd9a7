//! An outage of the broker. The test has its own broker, since the other tests use the shared one.

use super::kit::*;
use crate::bus::{Bus, Delivery};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use uuid::Uuid;

struct Broker {
    services: String,
    dir: PathBuf,
    address: String,
}

impl Broker {
    fn start(services: String) -> Self {
        let dir = std::env::temp_dir().join(format!("bus-outage-{}", Uuid::now_v7().simple()));
        let mut broker = Self {
            services,
            dir,
            address: String::new(),
        };
        broker.run("up");
        let env = std::fs::read_to_string(broker.dir.join("env")).unwrap();
        let line = env
            .lines()
            .find_map(|line| line.strip_prefix("export KAFKA_BROKERS="));
        broker.address = line
            .expect("the services print the address of Kafka")
            .to_owned();
        broker
    }

    fn run(&self, what: &str) {
        let status = Command::new(&self.services)
            .arg(what)
            .arg(&self.dir)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "services {what}: {status}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.run("down");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_outage_loses_nothing() {
    let Ok(services) = std::env::var("SERVICES") else {
        assert!(
            std::env::var("REQUIRE").as_deref() != Ok("all"),
            "the outage needs SERVICES"
        );
        println!("SKIPPED broker_outage_loses_nothing: SERVICES is not set");
        return;
    };
    let broker = tokio::task::spawn_blocking(move || Broker::start(services))
        .await
        .unwrap();
    let world = World::new(&broker.address);
    let mut side = world.started().await;
    let saga = Uuid::now_v7();
    world.replies(saga, 1..=1).await;
    let before = side.incoming().await;

    tokio::task::block_in_place(|| broker.run("stop-kafka"));
    before.ack.done();
    let batch = batch((0..10).map(|_| command("pay", saga, now(), "x")).collect());
    assert!(side.bus.publish(&batch), "the batch waits in the producer");
    until("the outage is reported", || side.bus.health().is_err()).await;
    assert_eq!(
        side.bus.alive(),
        Ok(()),
        "an outage must not restart the process"
    );
    tokio::task::block_in_place(|| broker.run("start-kafka"));

    while let Delivery::Failed { .. } = side.delivery().await {
        // The outage was longer than the delivery timeout: the engine publishes the batch again, as the test does.
        side.publish(&batch).await;
    }
    assert_eq!(world.read("saga.commands.pay", 10).await.len(), 10);
    until("the end of the outage is reported", || {
        side.bus.health().is_ok()
    })
    .await;
    world.replies(saga, 2..=2).await;
    loop {
        // The first reply may be redelivered: if the session expired, it was durable and its offset not committed.
        let after = side.incoming().await;
        let attempt = after.reply.attempt;
        after.ack.done();
        if attempt == 2 {
            break;
        }
    }
    world.committed_up_to(partition_of(saga), 2).await;
    side.bus.close().await;
    tokio::task::block_in_place(|| drop(broker));
}
