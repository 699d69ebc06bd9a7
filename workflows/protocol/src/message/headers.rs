//! The record around a message: topic, key, and CloudEvents 1.0 headers in Kafka's binary mode.

use super::{Command, Event, Reply};
use crate::{Payload, Time};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Header names.
pub mod header {
    /// The record's id: the same for every delivery of it.
    pub const CE_ID: &str = "ce_id";
    /// Who made it.
    pub const CE_SOURCE: &str = "ce_source";
    /// `1.0`.
    pub const CE_SPECVERSION: &str = "ce_specversion";
    /// `saga.command`, `saga.reply`, or the type of an event.
    pub const CE_TYPE: &str = "ce_type";
    /// When it was decided.
    pub const CE_TIME: &str = "ce_time";
    /// The saga.
    pub const CE_SUBJECT: &str = "ce_subject";
    /// `application/json`.
    pub const CONTENT_TYPE: &str = "content-type";
    /// One id for everything that came of one request.
    pub const CORRELATION_ID: &str = "correlation-id";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// On a dead letter: why it is one.
    pub const DEAD_REASON: &str = "dead-letter-reason";
    /// On a dead letter: `topic/partition/offset` it came from.
    pub const DEAD_FROM: &str = "dead-letter-from";
    /// On a dead letter: when it became one.
    pub const DEAD_AT: &str = "dead-letter-at";
}

/// A topic, without the prefix that a deployment may set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// `saga.commands.<worker>`.
    Commands(String),
    /// `saga.replies`.
    Replies,
    /// `saga.events`.
    Events,
    /// `saga.workers`.
    Workers,
    /// `saga.dead-letters`.
    DeadLetters,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commands(worker) => write!(f, "saga.commands.{worker}"),
            Self::Replies => f.write_str("saga.replies"),
            Self::Events => f.write_str("saga.events"),
            Self::Workers => f.write_str("saga.workers"),
            Self::DeadLetters => f.write_str("saga.dead-letters"),
        }
    }
}

/// What a record says about itself beside its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// `correlation-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// A record to be published: kept in the outbox in this form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxMessage {
    /// Where to.
    pub topic: Topic,
    /// The saga: what orders records within a topic.
    pub key: String,
    /// `ce_id`.
    pub id: String,
    /// `ce_type`.
    #[serde(rename = "type")]
    pub message_type: Cow<'static, str>,
    /// `ce_time`.
    pub at: Time,
    /// What else the headers say.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The JSON.
    pub value: Payload,
}

impl OutboxMessage {
    /// A command as a record.
    ///
    /// # Errors
    /// None in practice: a command always has a JSON form.
    pub fn command(
        worker: &str,
        command: &Command,
        envelope: Envelope,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            topic: Topic::Commands(worker.to_owned()),
            key: command.saga_id.to_string(),
            id: command.id(),
            message_type: Cow::Borrowed("saga.command"),
            at: command.decided_at,
            envelope,
            value: Payload::encode(command)?,
        })
    }

    /// A reply as a record.
    ///
    /// # Errors
    /// None in practice: a reply always has a JSON form.
    pub fn reply(reply: &Reply, at: Time, envelope: Envelope) -> Result<Self, serde_json::Error> {
        Ok(Self {
            topic: Topic::Replies,
            key: reply.saga_id.to_string(),
            id: reply.id(),
            message_type: Cow::Borrowed("saga.reply"),
            at,
            envelope,
            value: Payload::encode(reply)?,
        })
    }

    /// An event as a record.
    ///
    /// # Errors
    /// None in practice: an event always has a JSON form.
    pub fn event(event: &Event, envelope: Envelope) -> Result<Self, serde_json::Error> {
        Ok(Self {
            topic: Topic::Events,
            key: event.saga_id.to_string(),
            id: event.id(),
            message_type: Cow::Borrowed(event.event_type.as_str()),
            at: event.at,
            envelope,
            value: Payload::encode(event)?,
        })
    }

    /// The headers of the record, in CloudEvents' binary mode. `source` says who publishes it.
    pub fn headers(&self, source: &str) -> Vec<(&'static str, String)> {
        let time = self.at.to_string();
        self.header_values(source, &time)
            .map(|(name, value)| (name, value.to_owned()))
            .collect()
    }

    /// The same, borrowed: `time` is [`Self::at`] as text, which the messages of a batch have in common.
    pub fn header_values<'a>(
        &'a self,
        source: &'a str,
        time: &'a str,
    ) -> impl Iterator<Item = (&'static str, &'a str)> {
        let Envelope {
            correlation_id,
            traceparent,
        } = &self.envelope;
        let always = [
            (header::CE_ID, self.id.as_str()),
            (header::CE_SOURCE, source),
            (header::CE_SPECVERSION, "1.0"),
            (header::CE_TYPE, &*self.message_type),
            (header::CE_TIME, time),
            (header::CE_SUBJECT, self.key.as_str()),
            (header::CONTENT_TYPE, "application/json"),
        ];
        let correlation_id = correlation_id
            .as_deref()
            .map(|value| (header::CORRELATION_ID, value));
        let traceparent = traceparent
            .as_deref()
            .map(|value| (header::TRACEPARENT, value));
        always.into_iter().chain(correlation_id).chain(traceparent)
    }
}
