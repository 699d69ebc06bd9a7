//! A record as a consumer receives it, and the headers of one that is sent.

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};
use saga_protocol::Time;
use saga_protocol::message::header;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A received record. It borrows librdkafka's memory, so it lives as long as the callback it is passed to.
pub struct Record<'a> {
    pub(crate) message: &'a BorrowedMessage<'a>,
}

impl<'a> Record<'a> {
    pub(crate) fn new(message: &'a BorrowedMessage<'a>) -> Self {
        Self { message }
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.message.partition()
    }

    /// The offset.
    pub fn offset(&self) -> i64 {
        self.message.offset()
    }

    /// The key.
    pub fn key(&self) -> Option<&[u8]> {
        self.message.key()
    }

    /// The value; `None` for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.message.payload()
    }

    /// The record's own time, in milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.message.timestamp().to_millis()
    }

    /// `topic/partition/offset`, as in the header `dead-letter-from`.
    pub fn position(&self) -> String {
        format!(
            "{}/{}/{}",
            self.message.topic(),
            self.message.partition(),
            self.message.offset()
        )
    }

    /// When the message was decided: `ce_time`, else the record's own time.
    pub fn decided_at(&self) -> Option<Time> {
        let ce_time = find_header(self.message, header::CE_TIME).and_then(|value| {
            let text = std::str::from_utf8(value).ok()?;
            let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
            Some(Time::from(time.to_utc()))
        });

        ce_time.or_else(|| {
            let micros = self.timestamp_ms()?.checked_mul(1_000)?;
            Some(Time::from_micros(micros))
        })
    }

    /// All headers, in order. One whose name is not UTF-8 is left out: rdkafka cannot read it.
    pub(crate) fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let Some(headers) = self.message.headers() else {
            return Vec::new();
        };
        (0..headers.count())
            .filter_map(|index| get_header(headers, index))
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    }
}

/// The value of the first header with this name.
fn find_header<'m>(message: &'m impl Message, name: &str) -> Option<&'m [u8]> {
    let headers = message.headers()?;
    (0..headers.count())
        .filter_map(|index| get_header(headers, index))
        .find(|header| header.key == name)?
        .value
}

/// A header by its index. Kafka's protocol requires header names to be text; rdkafka panics on one that is not.
pub(crate) fn get_header(headers: &impl Headers, index: usize) -> Option<Header<'_, &[u8]>> {
    catch_unwind(AssertUnwindSafe(|| headers.try_get(index)))
        .ok()
        .flatten()
}

/// The headers of a record that is sent.
#[derive(Clone, Debug)]
pub struct RecordHeaders(pub(crate) OwnedHeaders);

impl RecordHeaders {
    /// Without any header, and with room for `capacity`.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(OwnedHeaders::new_with_capacity(capacity))
    }

    /// Appends a header.
    #[must_use]
    pub fn with(self, name: &str, value: Option<&[u8]>) -> Self {
        Self(self.0.insert(Header { key: name, value }))
    }
}
