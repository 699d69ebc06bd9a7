//! The headers of what is published.

use rdkafka::message::{Header, OwnedHeaders};
use saga_protocol::Time;
use saga_protocol::message::OutboxMessage;

/// Headers of a record, at most.
const HEADERS: usize = 9;

/// The time that the last message had, as text: those of a batch have it in common.
#[derive(Default)]
pub(super) struct TimeText {
    at: Option<Time>,
    text: String,
}

impl TimeText {
    /// That time as text.
    pub fn of(&mut self, at: Time) -> &str {
        if self.at != Some(at) {
            (self.at, self.text) = (Some(at), at.to_string());
        }
        &self.text
    }
}

/// The headers of a record.
pub(super) fn headers(message: &OutboxMessage, source: &str, time: &str) -> OwnedHeaders {
    let owned = OwnedHeaders::new_with_capacity(HEADERS);
    let values = message.header_values(source, time);
    values.fold(owned, |owned, (key, value)| {
        owned.insert(Header {
            key,
            value: Some(value),
        })
    })
}
