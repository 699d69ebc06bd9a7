//! A producer that fails permanently (rule D1). librdkafka's mock broker causes the failure.

use super::kit::*;
use crate::bus::Delivery;
use crate::bus::kafka::KafkaSettings;
use crate::bus::kafka::in_flight::InFlight;
use crate::bus::kafka::publisher::Publisher;
use crate::bus::kafka::topics::TopicRegistry;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use saga_protocol::message::Topic;
use std::sync::Arc;
use tokio::sync::mpsc;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn d1_broken_producer_is_replaced_and_its_batch_fails() {
    let cluster = MockCluster::new(1).unwrap();
    let unauthorized = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    // Either connection may send the request that fails.
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[unauthorized, unauthorized]);
    cluster.create_topic("saga.commands.pay", 1, 1).unwrap();

    let settings = KafkaSettings::new(&cluster.bootstrap_servers());
    let topics = TopicRegistry::new(settings.clone(), &[]);
    topics.mark_existing(&Topic::Commands("pay".to_owned()));
    let in_flight = Arc::<InFlight>::default();
    let publisher =
        Publisher::start(&settings, "replica-1", Arc::clone(&in_flight), topics).unwrap();
    let (sender, mut deliveries) = mpsc::channel(16);
    let report = tokio::spawn(in_flight.report(sender));

    let batch = batch(vec![command("pay", Uuid::now_v7(), now(), "x")]);
    let mut failed = 0;
    loop {
        // If the failure hits the connection for events, the other one may deliver the batch first.
        let was_replaced = publisher.replacements() > 0;
        until("the batch is accepted", || publisher.publish(&batch)).await;
        match in_time("a delivery", deliveries.recv()).await.unwrap() {
            Delivery::Acknowledged { rejected, .. } => {
                assert!(rejected.is_empty());
                if was_replaced {
                    break;
                }
            }
            Delivery::Failed { .. } => failed += 1,
        }
    }

    // Each may fail with the batch in flight, and accept it again until the failure is detected.
    let replacements = publisher.replacements();
    assert!(
        failed <= 2 * replacements,
        "{failed} failures, {replacements} replacements"
    );
    assert_eq!(publisher.state(), Ok(()));
    report.abort();
}
