//! CloudEvents 1.0 in Kafka records: decoded in binary and in structured mode, encoded in binary mode.
//!
//! In structured mode an attribute may stand both in a header and in the event. The header wins: it is part of the
//! record, and whoever forwards the record can set it without touching the value.

use crate::record::{Record, RecordHeaders, get_header};
use rdkafka::Message;
use rdkafka::message::Headers;
use saga_protocol::Time;
use saga_protocol::message::{Command, Envelope, MAX_COMMAND_BYTES, OutboxMessage, Reply, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Largest message that is sent: the input, outputs and envelope of a command, and Kafka's framing. Below the 1 MiB
/// (`max.message.bytes`) of a topic with default settings.
pub const MAX_MESSAGE_BYTES: usize = MAX_COMMAND_BYTES + 64 * 1024;
/// Longest correlation id or trace context that is passed on. A longer one is ignored.
const MAX_ATTRIBUTE_BYTES: usize = 512;
/// Headers of a message, at most.
const MESSAGE_HEADERS: usize = 9;
/// The content type of structured mode.
const STRUCTURED_MODE: &str = "application/cloudevents+json";

/// A message that arrives as a record's value.
pub trait RecordBody: DeserializeOwned {
    /// What the message is called in an error, with its article.
    const KIND: &'static str;
    /// Largest record value that is decoded.
    const MAX_BYTES: usize;

    /// Checks what the type does not express.
    ///
    /// # Errors
    /// A sentence that says what is invalid.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl RecordBody for Reply {
    const KIND: &'static str = "a reply";
    // An output over its own limit is judged by the engine, as a failure of its step.
    const MAX_BYTES: usize = MAX_COMMAND_BYTES;
}

impl RecordBody for Command {
    const KIND: &'static str = "a command";
    const MAX_BYTES: usize = MAX_MESSAGE_BYTES;

    /// The ledger stores step and key as text, and no database text contains a NUL.
    fn validate(&self) -> Result<(), String> {
        if self.step.is_empty() || self.step.contains('\0') || self.key.contains('\0') {
            return Err("its step or key is empty or contains a NUL".to_owned());
        }
        if self.attempt == 0 || i32::try_from(self.attempt).is_err() {
            return Err(format!(
                "its attempt is {}, expected a number from 1 to {}",
                self.attempt,
                i32::MAX
            ));
        }
        Ok(())
    }
}

/// An event in structured mode: the message is its data.
#[derive(Deserialize)]
struct StructuredEvent<T> {
    data: T,
    #[serde(default)]
    traceparent: Option<String>,
    /// Names of CloudEvents attributes have no hyphens.
    #[serde(default, rename = "correlationid")]
    correlation_id: Option<String>,
}

impl Record<'_> {
    /// Decodes the message and its envelope.
    ///
    /// # Errors
    /// A sentence that says why the record is not such a message.
    pub fn decode<T: RecordBody>(&self) -> Result<(T, Envelope), String> {
        decode(self.message)
    }
}

fn decode<T: RecordBody>(record: &impl Message) -> Result<(T, Envelope), String> {
    let value = record.payload().ok_or("the record has no value")?;
    if value.len() > T::MAX_BYTES {
        return Err(format!(
            "the record has {} bytes, at most {} are accepted",
            value.len(),
            T::MAX_BYTES
        ));
    }

    let headers = EnvelopeHeaders::read(record);
    let (message, envelope) = if headers.structured {
        let event: StructuredEvent<T> = serde_json::from_slice(value).map_err(|error| {
            format!(
                "the record is not {} in a structured CloudEvent: {error}",
                T::KIND
            )
        })?;
        let envelope = Envelope {
            correlation_id: (headers.envelope.correlation_id)
                .or_else(|| event.correlation_id.filter(|value| is_short(value))),
            traceparent: (headers.envelope.traceparent)
                .or_else(|| event.traceparent.filter(|value| is_short(value))),
        };
        (event.data, envelope)
    } else {
        let message: T = serde_json::from_slice(value)
            .map_err(|error| format!("the record is not {}: {error}", T::KIND))?;
        (message, headers.envelope)
    };

    message
        .validate()
        .map_err(|error| format!("the record is not {}: {error}", T::KIND))?;
    Ok((message, envelope))
}

#[derive(Default)]
struct EnvelopeHeaders {
    envelope: Envelope,
    structured: bool,
}

impl EnvelopeHeaders {
    fn read(record: &impl Message) -> Self {
        let mut read = Self::default();
        let Some(headers) = record.headers() else {
            return read;
        };

        for index in 0..headers.count() {
            let Some(header) = get_header(headers, index) else {
                continue;
            };
            let text = header
                .value
                .and_then(|value| std::str::from_utf8(value).ok());
            let attribute = || text.filter(|text| is_short(text)).map(str::to_owned);

            match header.key {
                header::CORRELATION_ID => read.envelope.correlation_id = attribute(),
                header::TRACEPARENT => read.envelope.traceparent = attribute(),
                header::CONTENT_TYPE => {
                    read.structured = text.is_some_and(|text| text.starts_with(STRUCTURED_MODE));
                }
                _ => {}
            }
        }
        read
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= MAX_ATTRIBUTE_BYTES
}

/// Writes the headers of messages, in binary mode.
pub struct HeaderEncoder<'a> {
    source: &'a str,
    /// The time of the last message and its text: the messages of a batch usually share it.
    time: Option<Time>,
    time_text: String,
}

impl<'a> HeaderEncoder<'a> {
    /// For messages published by `source` (`ce_source`).
    pub fn new(source: &'a str) -> Self {
        Self {
            source,
            time: None,
            time_text: String::new(),
        }
    }

    /// The headers of a message.
    pub fn encode(&mut self, message: &OutboxMessage) -> RecordHeaders {
        if self.time != Some(message.at) {
            self.time = Some(message.at);
            self.time_text = message.at.to_string();
        }
        message.header_values(self.source, &self.time_text).fold(
            RecordHeaders::with_capacity(MESSAGE_HEADERS),
            |headers, (name, value)| headers.with(name, Some(value.as_bytes())),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::message::{OwnedMessage, Timestamp};
    use saga_protocol::message::ReplyOutcome;

    const REPLY: &str = r#"{"saga_id":"0193a1c2-0000-7000-8000-000000000001","step":"pay","action":"execute",
        "attempt":1,"outcome":"completed","output":{"note":"a\u0000b"},"unknown":1}"#;
    const STRUCTURED: (&str, &str) = (
        "content-type",
        "application/cloudevents+json; charset=utf-8",
    );

    fn record(value: Option<&str>, headers: &[(&str, &str)]) -> OwnedMessage {
        let headers = headers
            .iter()
            .fold(RecordHeaders::with_capacity(4), |headers, (name, value)| {
                headers.with(name, Some(value.as_bytes()))
            });
        OwnedMessage::new(
            value.map(|value| value.as_bytes().to_vec()),
            None,
            "t".to_owned(),
            Timestamp::NotAvailable,
            0,
            0,
            Some(headers.0),
        )
    }

    #[test]
    fn binary_mode_reply_has_the_envelope_of_its_headers() {
        let record = record(
            Some(REPLY),
            &[
                ("correlation-id", "c-1"),
                ("traceparent", "00-1"),
                ("other", "x"),
            ],
        );

        let (reply, envelope) = decode::<Reply>(&record).unwrap();

        assert_eq!(
            (reply.step.as_str(), reply.outcome),
            ("pay", ReplyOutcome::Completed)
        );
        // The codec does not judge what the database rejects.
        assert_eq!(reply.output.unwrap().get(), r#"{"note":"a\u0000b"}"#);
        assert_eq!(envelope.correlation_id.as_deref(), Some("c-1"));
        assert_eq!(envelope.traceparent.as_deref(), Some("00-1"));
    }

    #[test]
    fn structured_mode_header_wins_over_the_event() {
        let value = format!(
            r#"{{"specversion":"1.0","id":"1","traceparent":"00-2","correlationid":"c-2","data":{REPLY}}}"#
        );

        let (reply, envelope) = decode::<Reply>(&record(Some(&value), &[STRUCTURED])).unwrap();
        assert_eq!(reply.step, "pay");
        assert_eq!(envelope.traceparent.as_deref(), Some("00-2"));
        assert_eq!(envelope.correlation_id.as_deref(), Some("c-2"));

        let headers = [STRUCTURED, ("correlation-id", "c-3")];
        let (_, envelope) = decode::<Reply>(&record(Some(&value), &headers)).unwrap();
        assert_eq!(envelope.correlation_id.as_deref(), Some("c-3"));
        assert_eq!(envelope.traceparent.as_deref(), Some("00-2"));
    }

    #[test]
    fn long_attribute_is_ignored() {
        let long = "x".repeat(MAX_ATTRIBUTE_BYTES + 1);
        let (_, envelope) =
            decode::<Reply>(&record(Some(REPLY), &[("correlation-id", &long)])).unwrap();
        assert_eq!(envelope.correlation_id, None);
    }

    #[test]
    fn undecodable_record_says_why() {
        let unknown_outcome = REPLY.replace("completed", "perhaps");
        let too_large = format!(r#""{}""#, "x".repeat(Reply::MAX_BYTES));
        let cases = [
            (None, "has no value"),
            (Some("{"), "is not a reply: EOF"),
            (Some("[]"), "is not a reply: invalid"),
            (Some(unknown_outcome.as_str()), "unknown variant `perhaps`"),
            (Some(too_large.as_str()), "at most 921600 are accepted"),
        ];
        for (value, reason) in cases {
            let error = decode::<Reply>(&record(value, &[])).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }

        let error = decode::<Reply>(&record(Some(REPLY), &[STRUCTURED])).unwrap_err();
        assert!(
            error.contains("structured CloudEvent: missing field `data`"),
            "{error}"
        );
    }
}
