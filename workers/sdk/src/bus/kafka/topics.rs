//! The topics that a worker uses, made at the start if they are missing.

use super::link::Client;
use super::settings::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use saga_protocol::message::Topic;
use saga_retry::retry;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A broker that is there answers in milliseconds.
const ANSWER: Duration = Duration::from_secs(10);

/// Makes those that are missing. Waits for a broker that does not answer. False: the shutdown came first.
///
/// # Errors
/// If the settings are unusable.
pub async fn make_topics(
    settings: &KafkaSettings,
    workers: &[String],
    shutdown: &CancellationToken,
) -> Result<bool, KafkaError> {
    let admin: AdminClient<Client> = AdminClient::from_config_and_context(
        &settings.client("worker"),
        Client(Arc::clone(&settings.link)),
    )?;
    let made = retry(
        "make the topics",
        shutdown,
        |_| true,
        || make(&admin, settings, workers),
    )
    .await?;
    if made.is_some() {
        settings.link.up();
    }
    Ok(made.is_some())
}

async fn make(
    admin: &AdminClient<Client>,
    settings: &KafkaSettings,
    workers: &[String],
) -> Result<(), KafkaError> {
    let commands = workers.iter().cloned().map(Topic::Commands);
    let wanted = commands.chain([Topic::Replies, Topic::DeadLetters, Topic::Workers]);
    let shape = |topic: Topic| {
        (
            settings.topic(&topic),
            topic.partitions(settings.partitions),
            topic.config(),
        )
    };
    let shapes: Vec<_> = wanted.map(shape).collect();
    let topics = shapes.iter().map(|(name, partitions, settings)| {
        // −1: as many replicas as the cluster gives a topic by default.
        let topic = NewTopic::new(name, *partitions, TopicReplication::Fixed(-1));
        settings
            .iter()
            .fold(topic, |topic, (name, value)| topic.set(name, value))
    });
    let topics: Vec<NewTopic<'_>> = topics.collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(ANSWER))
        .request_timeout(Some(ANSWER));
    for result in admin.create_topics(&topics, &options).await? {
        match result {
            Ok(name) => tracing::info!("made the topic {name}"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                tracing::warn!("the topic {name} cannot be made: {code}");
                return Err(KafkaError::AdminOp(code));
            }
        }
    }
    Ok(())
}
