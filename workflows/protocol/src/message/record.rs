//! The Kafka record of a message: topic, key, and CloudEvents 1.0 headers in binary mode.

use super::{Command, Event, Reply, Topic};
use crate::{Payload, Time};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The names of the headers.
pub mod header {
    /// The record's id, the same for every delivery.
    pub const CE_ID: &str = "ce_id";
    /// The program that published it.
    pub const CE_SOURCE: &str = "ce_source";
    /// `1.0`.
    pub const CE_SPECVERSION: &str = "ce_specversion";
    /// `saga.command`, `saga.reply`, or the type of an event.
    pub const CE_TYPE: &str = "ce_type";
    /// The time of the message.
    pub const CE_TIME: &str = "ce_time";
    /// The saga.
    pub const CE_SUBJECT: &str = "ce_subject";
    /// `application/json`.
    pub const CONTENT_TYPE: &str = "content-type";
    /// The id shared by everything that one request caused.
    pub const CORRELATION_ID: &str = "correlation-id";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// Dead letters only: the reason.
    pub const DEAD_REASON: &str = "dead-letter-reason";
    /// Dead letters only: the origin as `topic/partition/offset`.
    pub const DEAD_FROM: &str = "dead-letter-from";
    /// Dead letters only: when it was dead-lettered.
    pub const DEAD_AT: &str = "dead-letter-at";
}

/// The tracing context of a message, carried in its headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// `correlation-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// A record to be published, in the form that the outbox stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxMessage {
    /// The destination.
    pub topic: Topic,
    /// The record's key: the saga, whose records stay in order.
    pub key: String,
    /// `ce_id`.
    pub id: String,
    /// `ce_type`.
    #[serde(rename = "type")]
    pub message_type: Cow<'static, str>,
    /// `ce_time`.
    pub at: Time,
    /// The optional headers.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The message.
    pub value: Payload,
}

impl OutboxMessage {
    /// Wraps a command.
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

    /// Wraps a reply.
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

    /// Wraps an event.
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

    /// The record's headers. `source` names the publishing program.
    pub fn headers(&self, source: &str) -> Vec<(&'static str, String)> {
        let time = self.at.to_string();
        self.header_values(source, &time)
            .map(|(name, value)| (name, value.to_owned()))
            .collect()
    }

    /// The record's headers, borrowed. `time` is [`Self::at`] as text, which the messages of a batch share.
    pub fn header_values<'a>(
        &'a self,
        source: &'a str,
        time: &'a str,
    ) -> impl Iterator<Item = (&'static str, &'a str)> {
        let Envelope {
            correlation_id,
            traceparent,
        } = &self.envelope;

        let required = [
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

        required
            .into_iter()
            .chain(correlation_id)
            .chain(traceparent)
    }
}
