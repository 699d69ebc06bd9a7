//! Records that nobody can act on, on their way to `saga.dead-letters`: as they were, with the reason.

use super::in_flight::Answer;
use super::producer::Producer;
use super::reader::{Found, Reader};
use super::window::Place;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Header, Message, OwnedHeaders};
use saga_protocol::Time;
use saga_protocol::message::header;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How long a letter that did not get through waits for its next try.
const RETRY: Duration = Duration::from_millis(500);
/// How often the thread looks whether it should end.
const IDLE: Duration = Duration::from_millis(200);
/// How long a record is looked for in its topic at a time.
const READ: Duration = Duration::from_secs(5);
/// Longest reason: what a person reads. Kafka limits headers with the record.
const REASON_CHARS: usize = 1_000;

/// What waits to be sent. The windows bound it: each of these is a record under way in one.
#[derive(Default)]
pub(super) struct Letters {
    queue: Mutex<VecDeque<Item>>,
    added: Condvar,
    closed: AtomicBool,
}

/// A record that was decoded, and that the engine could not store.
pub(super) struct Refused {
    pub place: Place,
    pub why: String,
}

/// A record to be sent.
pub(super) struct Letter {
    pub content: Arc<Content>,
    place: Place,
    /// Its value was left behind: it was too large to be sent.
    stripped: bool,
}

/// What is sent.
pub(super) struct Content {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: OwnedHeaders,
}

enum Item {
    Refused(Refused),
    Letter(Box<Letter>),
}

impl Letters {
    /// The engine refused this one. Only its place is known: the record is read once more.
    pub fn refused(&self, refused: Refused) {
        self.add(Item::Refused(refused));
    }

    /// This one could not be decoded.
    pub fn undecodable(&self, record: &BorrowedMessage<'_>, place: Place, why: &str) {
        self.add(Item::Letter(Letter::of(record, place, why)));
    }

    /// What became of a letter.
    pub fn answered(&self, letter: Box<Letter>, answer: Answer) {
        match answer {
            Answer::Acknowledged => letter.place.settle(),
            Answer::Failed(why) => {
                tracing::debug!(why, "a dead letter did not get through; trying on");
                self.add(Item::Letter(letter));
            }
            Answer::Refused(why) if letter.stripped => {
                let (partition, offset) = (letter.place.partition(), letter.place.offset());
                tracing::error!(
                    partition,
                    offset,
                    "Kafka takes no dead letter for it: {why}; it is left where it is"
                );
                letter.place.settle();
            }
            Answer::Refused(_) => self.add(Item::Letter(letter.stripped())),
        }
    }

    /// Ends the thread.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.added.notify_all();
    }

    /// Sends what comes in until closed. A thread of its own: it waits for Kafka, and nobody waits for it.
    pub fn run(&self, producer: &Producer, reader: &Reader, topic: &str) {
        while let Some(item) = self.next() {
            let letter = match item {
                Item::Letter(letter) => Some(letter),
                Item::Refused(refused) => self.read_again(reader, topic, refused),
            };
            let Some(letter) = letter.filter(|letter| !letter.place.is_moot()) else {
                continue;
            };
            if let Err((letter, answer)) = producer.send_letter(letter) {
                let failed = matches!(answer, Answer::Failed(_));
                self.answered(letter, answer);
                if failed {
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn read_again(&self, reader: &Reader, topic: &str, refused: Refused) -> Option<Box<Letter>> {
        let Refused { place, why } = refused;
        let (partition, offset) = (place.partition(), place.offset());
        let mut letter = None;
        let mut place = Some(place);
        let found = reader.read(topic, &[(partition, offset)], READ, |record| {
            if record.offset() == offset {
                letter = place.take().map(|place| Letter::of(record, place, &why));
            }
        });
        match (place, found) {
            (None, _) => {}
            (Some(place), Found::All) => {
                tracing::error!(
                    partition,
                    offset,
                    "a refused record is no longer in {topic}: {why}"
                );
                place.settle();
            }
            (Some(place), Found::TimedOut) => {
                self.add(Item::Refused(Refused { place, why }));
                std::thread::sleep(RETRY);
            }
        }
        letter
    }

    fn add(&self, item: Item) {
        self.queue
            .lock()
            .expect("no holder of this lock panics")
            .push_back(item);
        self.added.notify_one();
    }

    fn next(&self) -> Option<Item> {
        let mut queue = self.queue.lock().expect("no holder of this lock panics");
        loop {
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            if let Some(item) = queue.pop_front() {
                return Some(item);
            }
            queue = self
                .added
                .wait_timeout(queue, IDLE)
                .expect("no holder of this lock panics")
                .0;
        }
    }
}

impl Letter {
    fn of(record: &BorrowedMessage<'_>, place: Place, why: &str) -> Box<Self> {
        let from = format!(
            "{}/{}/{}",
            record.topic(),
            record.partition(),
            record.offset()
        );
        tracing::error!(from, "a record goes to the dead letters: {why}");
        let why: String = why
            .chars()
            .filter(|c| !c.is_control())
            .take(REASON_CHARS)
            .collect();
        let at = Time::from(chrono::Utc::now()).to_string();
        let mut headers = record
            .headers()
            .map_or_else(OwnedHeaders::new, BorrowedHeaders::detach);
        for (key, value) in [
            (header::DEAD_REASON, &why),
            (header::DEAD_FROM, &from),
            (header::DEAD_AT, &at),
        ] {
            headers = headers.insert(Header {
                key,
                value: Some(value.as_str()),
            });
        }
        let (key, value) = (
            record.key().map(<[u8]>::to_vec),
            record.payload().map(<[u8]>::to_vec),
        );
        Box::new(Self {
            content: Arc::new(Content {
                key,
                value,
                headers,
            }),
            place,
            stripped: false,
        })
    }

    /// The same without its value.
    fn stripped(self) -> Box<Self> {
        let note = "its value is too large for a dead letter, and stays where the record came from";
        let headers = self.content.headers.clone().insert(Header {
            key: "dead-letter-note",
            value: Some(note),
        });
        let content = Arc::new(Content {
            key: self.content.key.clone(),
            value: None,
            headers,
        });
        Box::new(Self {
            content,
            place: self.place,
            stripped: true,
        })
    }
}
