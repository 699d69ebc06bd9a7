//! A producer that librdkafka says will never work again (rule D1). librdkafka's mock broker makes it say so.

use super::kit::*;
use crate::bus::Delivery;
use crate::bus::kafka::Settings;
use crate::bus::kafka::in_flight::InFlight;
use crate::bus::kafka::producer::Producer;
use crate::bus::kafka::topics::Topics;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use saga_protocol::message::Topic;
use saga_worker::bus::kafka::link::Link;
use std::sync::Arc;
use tokio::sync::mpsc;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_producer_is_replaced_and_what_it_held_fails_and_may_go_out_again() {
    let cluster = MockCluster::new(1).unwrap();
    let rejected = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    // Whichever of a producer's two connections asks first.
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[rejected, rejected]);
    let settings = Settings::new(cluster.bootstrap_servers(), "replica-1");
    let link = Link::new(&settings.brokers);
    let topics = Topics::new(settings.clone(), Arc::clone(&link), &[]);
    topics.exists(&Topic::Commands("pay".to_owned()));
    cluster.create_topic("saga.commands.pay", 1, 1).unwrap();
    let in_flight = Arc::<InFlight>::default();
    let producer = Producer::start(
        &settings,
        Arc::clone(&in_flight),
        Arc::default(),
        topics,
        link,
    )
    .unwrap();
    let watch = tokio::spawn(Arc::clone(&producer).watch_over());
    let (deliveries, mut told) = mpsc::channel(16);
    let report = tokio::spawn(async move { in_flight.report(deliveries).await });

    let batch = batch(vec![command("pay", Uuid::now_v7(), now(), "x")]);
    let mut failed = 0;
    loop {
        // The connection for commands may have been spared, and carry the batch before the other one breaks.
        let broke = producer.replaced() > 0;
        until("it takes the batch", || producer.publish(&batch)).await;
        match in_time("a delivery", told.recv()).await.unwrap() {
            Delivery::Acknowledged { rejected, .. } => {
                assert!(rejected.is_empty());
                if broke {
                    break;
                }
            }
            Delivery::Failed { .. } => failed += 1,
        }
    }
    // Each may break with the batch in hand, and take it once more until that is known.
    let replaced = producer.replaced();
    assert!(
        failed <= 2 * replaced,
        "{failed} times, of {replaced} that broke"
    );
    assert_eq!(producer.state(), Ok(()));
    watch.abort();
    report.abort();
}
