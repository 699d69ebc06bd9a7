//! A record of a command topic: a command, or a dead letter with the reason.

use crate::bus::DeadLetter;
use crate::runtime::wall_clock;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};
use saga_protocol::Payload;
use saga_protocol::message::{Command, Envelope, header};
use serde::Deserialize;

/// CloudEvents in structured mode: the event is the value, the command its data.
#[derive(Deserialize)]
struct Structured {
    data: Payload,
    #[serde(default, rename = "correlationid")]
    correlation_id: Option<String>,
    #[serde(default)]
    traceparent: Option<String>,
}

/// The content type of structured mode.
const STRUCTURED: &str = "application/cloudevents+json";

/// Reads a record.
///
/// # Errors
/// Why nobody can act on it.
pub fn decode(record: &BorrowedMessage<'_>) -> Result<(Command, Envelope), String> {
    let value = record.payload().ok_or("it has no value")?;
    let text =
        std::str::from_utf8(value).map_err(|error| format!("its value is not UTF-8: {error}"))?;
    let (command, envelope) = if header_of(record, header::CONTENT_TYPE)
        .is_some_and(|kind| kind.starts_with(STRUCTURED))
    {
        let event: Structured = read(text)?;
        let envelope = Envelope {
            correlation_id: event.correlation_id,
            traceparent: event.traceparent,
        };
        (read(event.data.get())?, envelope)
    } else {
        let correlation_id = header_of(record, header::CORRELATION_ID);
        (
            read(text)?,
            Envelope {
                correlation_id,
                traceparent: header_of(record, header::TRACEPARENT),
            },
        )
    };
    check(&command)?;
    Ok((command, envelope))
}

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("its value is no command: {error}"))
}

/// What the ledger could not take: no database text holds a NUL.
fn check(command: &Command) -> Result<(), String> {
    if command.step.is_empty() || command.step.contains('\0') || command.key.contains('\0') {
        return Err("its step or key is empty or has a NUL in it".to_owned());
    }
    if i32::try_from(command.attempt).is_err() || command.attempt == 0 {
        return Err(format!(
            "{} is no attempt: they count from 1",
            command.attempt
        ));
    }
    Ok(())
}

fn header_of(record: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let headers = record.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    String::from_utf8(found.value?.to_vec()).ok()
}

/// The record as a dead letter.
pub fn dead(record: &BorrowedMessage<'_>, reason: String) -> DeadLetter {
    let headers = record.headers().map(|headers| {
        let pair = |header: rdkafka::message::Header<'_, &[u8]>| {
            (
                header.key.to_owned(),
                header.value.unwrap_or_default().to_vec(),
            )
        };
        headers.iter().map(pair).collect()
    });
    DeadLetter {
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().unwrap_or_default().to_vec(),
        headers: headers.unwrap_or_default(),
        reason,
        from: format!(
            "{}/{}/{}",
            record.topic(),
            record.partition(),
            record.offset()
        ),
        at: wall_clock(),
    }
}
