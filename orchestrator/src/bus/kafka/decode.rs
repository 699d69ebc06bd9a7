//! A record of `saga.replies` → a reply, or why it is none.

use rdkafka::message::{Headers, Message};
use saga_protocol::Time;
use saga_protocol::message::{Envelope, MAX_COMMAND_BYTES, Reply, header};
use serde::Deserialize;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Largest reply that is read. An output over its own limit is the engine's to judge, as a failure of its step.
const REPLY_BYTES: usize = MAX_COMMAND_BYTES;
/// Longest correlation id or trace context that is passed on: a longer one is left out.
const HEADER_BYTES: usize = 512;
/// The content type of CloudEvents' structured mode.
const STRUCTURED: &str = "application/cloudevents+json";

/// An event in CloudEvents' structured mode, as far as it matters here.
#[derive(Deserialize)]
struct Structured {
    data: Reply,
    #[serde(default)]
    traceparent: Option<String>,
    /// Names of CloudEvents' attributes have no hyphens.
    #[serde(default)]
    correlationid: Option<String>,
}

/// Reads a record.
///
/// # Errors
/// Why it is not a reply, in a sentence.
pub(super) fn reply(record: &impl Message) -> Result<(Reply, Envelope), String> {
    let value = record.payload().ok_or("the record has no value")?;
    if value.len() > REPLY_BYTES {
        return Err(format!(
            "the record is {} bytes; at most {REPLY_BYTES} are read",
            value.len()
        ));
    }
    let headers = headers(record)?;
    if !headers.structured {
        let reply = serde_json::from_slice(value)
            .map_err(|error| format!("the record is not a reply: {error}"))?;
        return Ok((reply, headers.envelope));
    }
    let event: Structured = serde_json::from_slice(value).map_err(|error| {
        format!("the record is not a reply in a structured CloudEvent: {error}")
    })?;
    let envelope = Envelope {
        correlation_id: headers
            .envelope
            .correlation_id
            .or_else(|| short(event.correlationid?)),
        traceparent: headers
            .envelope
            .traceparent
            .or_else(|| short(event.traceparent?)),
    };
    Ok((event.data, envelope))
}

/// When a command was decided: `ce_time`, else the record's own time.
pub(super) fn decided_at(record: &impl Message) -> Option<Time> {
    let said = || {
        let headers = record.headers()?;
        let at = (0..headers.count())
            .filter_map(|index| headers.try_get(index))
            .find(|h| h.key == header::CE_TIME)?;
        let at = chrono::DateTime::parse_from_rfc3339(std::str::from_utf8(at.value?).ok()?).ok()?;
        Some(Time::from(at.to_utc()))
    };
    let said = catch_unwind(AssertUnwindSafe(said)).ok().flatten();
    said.or_else(|| {
        Some(Time::from_micros(
            record.timestamp().to_millis()?.checked_mul(1_000)?,
        ))
    })
}

#[derive(Default)]
struct Read {
    envelope: Envelope,
    structured: bool,
}

fn headers(record: &impl Message) -> Result<Read, String> {
    let Some(headers) = record.headers() else {
        return Ok(Read::default());
    };
    // The names are text by the protocol; rdkafka panics where they are not.
    catch_unwind(AssertUnwindSafe(|| read(headers)))
        .map_err(|_| "a header's name is not UTF-8".to_owned())
}

fn read(headers: &impl Headers) -> Read {
    let mut read = Read::default();
    for index in 0..headers.count() {
        let Some(header) = headers.try_get(index) else {
            break;
        };
        let text = || {
            header
                .value
                .and_then(|value| std::str::from_utf8(value).ok())
        };
        match header.key {
            header::CORRELATION_ID => read.envelope.correlation_id = text().and_then(short),
            header::TRACEPARENT => read.envelope.traceparent = text().and_then(short),
            header::CONTENT_TYPE => {
                read.structured = text().is_some_and(|text| text.starts_with(STRUCTURED))
            }
            _ => {}
        }
    }
    read
}

fn short(text: impl Into<String> + AsRef<str>) -> Option<String> {
    (text.as_ref().len() <= HEADER_BYTES).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage, Timestamp};
    use saga_protocol::message::ReplyOutcome;

    const REPLY: &str = r#"{"saga_id":"0193a1c2-0000-7000-8000-000000000001","step":"pay","action":"execute",
        "attempt":1,"outcome":"completed","output":{"note":"a\u0000b"},"unknown":1}"#;

    fn record(value: Option<&str>, headers: &[(&str, &str)]) -> OwnedMessage {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(*value),
                })
            });
        let value = value.map(|value| value.as_bytes().to_vec());
        OwnedMessage::new(
            value,
            None,
            "t".to_owned(),
            Timestamp::NotAvailable,
            0,
            0,
            Some(headers),
        )
    }

    #[test]
    fn a_reply_is_read_with_what_its_headers_say() {
        let record = record(
            Some(REPLY),
            &[
                ("correlation-id", "c-1"),
                ("traceparent", "00-1"),
                ("other", "x"),
            ],
        );
        let (reply, envelope) = super::reply(&record).unwrap();
        assert_eq!(
            (reply.step.as_str(), reply.outcome),
            ("pay", ReplyOutcome::Completed)
        );
        // What no database text takes is not ours to judge.
        assert_eq!(reply.output.unwrap().get(), r#"{"note":"a\u0000b"}"#);
        assert_eq!(envelope.correlation_id.as_deref(), Some("c-1"));
        assert_eq!(envelope.traceparent.as_deref(), Some("00-1"));
    }

    #[test]
    fn a_structured_cloud_event_is_understood() {
        let value = format!(
            r#"{{"specversion":"1.0","id":"1","traceparent":"00-2","correlationid":"c-2","data":{REPLY}}}"#
        );
        let structured = (
            "content-type",
            "application/cloudevents+json; charset=utf-8",
        );
        let (reply, envelope) = super::reply(&record(Some(&value), &[structured])).unwrap();
        assert_eq!(reply.step, "pay");
        assert_eq!(envelope.traceparent.as_deref(), Some("00-2"));
        assert_eq!(envelope.correlation_id.as_deref(), Some("c-2"));
        // A header stands nearer to the record than what is in it.
        let (_, envelope) = super::reply(&record(
            Some(&value),
            &[structured, ("correlation-id", "c-3")],
        ))
        .unwrap();
        assert_eq!(envelope.correlation_id.as_deref(), Some("c-3"));
    }

    #[test]
    fn what_is_no_reply_is_told_why() {
        let no_shape = REPLY.replace("completed", "perhaps");
        let too_large = format!(r#""{}""#, "x".repeat(REPLY_BYTES));
        let cases = [
            (None, "has no value"),
            (Some("{"), "is not a reply: EOF"),
            (Some("[]"), "is not a reply: invalid"),
            (Some(no_shape.as_str()), "unknown variant `perhaps`"),
            (Some(too_large.as_str()), "at most 921600 are read"),
        ];
        for (value, why) in cases {
            let error = super::reply(&record(value, &[])).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let structured = record(
            Some(REPLY),
            &[("content-type", "application/cloudevents+json")],
        );
        assert!(
            super::reply(&structured)
                .unwrap_err()
                .contains("structured CloudEvent: missing field `data`")
        );
    }
}
