//! Creation of missing topics.

use crate::error::Error;
use crate::health::HealthContext;
use crate::settings::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;
use saga_protocol::message::Topic;
use saga_retry::retry;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a request may take. A broker that is up answers within milliseconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the broker may take to say whether a topic exists.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// Creates topics and reads their limits.
pub struct TopicAdmin {
    client: AdminClient<HealthContext>,
    settings: KafkaSettings,
}

impl TopicAdmin {
    /// Connects in the background.
    ///
    /// # Errors
    /// If the settings are invalid.
    pub fn new(settings: &KafkaSettings, role: &str) -> Result<Self, Error> {
        let context = HealthContext(Arc::clone(&settings.health));
        let client = AdminClient::from_config_and_context(&settings.client(role), context)
            .map_err(Error::Settings)?;
        Ok(Self {
            client,
            settings: settings.clone(),
        })
    }

    /// Creates the topics that are missing. One result per topic: `Err` if it does not exist and cannot be created.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn ensure(&self, topics: &[Topic]) -> Result<Vec<Result<(), Error>>, Error> {
        let names: Vec<_> = self.names(topics);
        let configs: Vec<_> = topics.iter().map(Topic::config).collect();
        let new_topics: Vec<_> = topics
            .iter()
            .zip(&names)
            .zip(&configs)
            .map(|((topic, name), config)| {
                let partitions = topic.partitions(self.settings.partitions);
                // −1: as many replicas as the cluster's default.
                let new_topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
                config.iter().fold(new_topic, |new_topic, (name, value)| {
                    new_topic.set(name, value)
                })
            })
            .collect();

        let created = self
            .client
            .create_topics(&new_topics, &options())
            .await
            .inspect_err(|error| self.settings.health.mark_unavailable(error))?;
        self.settings.health.mark_available();

        let result = |result: Result<String, (String, RDKafkaErrorCode)>| match result {
            Ok(topic) => {
                tracing::info!(topic, "topic {topic} was created");
                Ok(())
            }
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            // A cluster may forbid the creation of topics and have them nevertheless.
            Err((topic, _)) if self.exists(&topic) => Ok(()),
            Err((topic, code)) => Err(Error::Topic {
                topic,
                reason: code.to_string(),
            }),
        };
        Ok(created.into_iter().map(result).collect())
    }

    /// The topics that accept only messages smaller than `bytes` (`max.message.bytes`), with their limit.
    ///
    /// # Errors
    /// If the limits cannot be read.
    pub async fn topics_below(
        &self,
        topics: &[Topic],
        bytes: usize,
    ) -> Result<Vec<(String, usize)>, Error> {
        let names = self.names(topics);
        let resources: Vec<_> = names
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let described = self.client.describe_configs(&resources, &options()).await?;

        let limit = |resource: rdkafka::admin::ConfigResource| {
            resource
                .get("max.message.bytes")?
                .value
                .as_ref()?
                .parse::<usize>()
                .ok()
        };
        Ok(described
            .into_iter()
            .zip(names)
            .filter_map(|(resource, name)| Some((name, limit(resource.ok()?)?)))
            .filter(|(_, limit)| *limit < bytes)
            .collect())
    }

    fn names(&self, topics: &[Topic]) -> Vec<String> {
        topics
            .iter()
            .map(|topic| self.settings.topic(topic))
            .collect()
    }

    fn exists(&self, name: &str) -> bool {
        let metadata = self
            .client
            .inner()
            .fetch_metadata(Some(name), METADATA_TIMEOUT);
        metadata.is_ok_and(|metadata| {
            metadata
                .topics()
                .iter()
                .any(|topic| !topic.partitions().is_empty())
        })
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(REQUEST_TIMEOUT))
        .request_timeout(Some(REQUEST_TIMEOUT))
}

/// Creates the topics that these workers use, if they are missing. Waits for a broker that does not answer. Returns
/// `false` if the shutdown came first.
///
/// # Errors
/// If the settings are invalid.
pub async fn create_topics(
    settings: &KafkaSettings,
    workers: &[String],
    shutdown: &CancellationToken,
) -> Result<bool, Error> {
    let admin = TopicAdmin::new(settings, "worker-admin")?;
    let commands = workers.iter().cloned().map(Topic::Commands);
    let topics: Vec<_> = commands
        .chain([Topic::Replies, Topic::DeadLetters, Topic::Workers])
        .collect();

    let created = retry(
        "create topics",
        shutdown,
        |_| true,
        || async {
            let results = admin.ensure(&topics).await?;
            results.into_iter().collect::<Result<(), Error>>()
        },
    )
    .await?;
    Ok(created.is_some())
}
