//! Reads the backlog of one worker from Kafka.

use super::members::WorkerReadPositions;
use crate::bus::port::may_lie_behind;
use saga_kafka::{Error, KafkaSettings, Observer, partition_for_key};
use saga_protocol::Time;
use saga_protocol::message::Topic;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a sample waits for the oldest unconsumed records.
const READ_TIMEOUT: Duration = Duration::from_millis(300);
/// How often the number of partitions is read.
const PARTITION_COUNT_INTERVAL: Duration = Duration::from_secs(30);

/// The boundary between the processed and the unprocessed records of a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watermark {
    /// The offset of the first unprocessed record, or of the next record if there is none.
    pub offset: i64,
    /// When that record was decided. `None` if it could not be read in time, nor any before it.
    pub decided_at: Option<Time>,
    /// The record itself was not read: it was decided at `decided_at` or later.
    pub estimated: bool,
}

/// The backlog of one partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PartitionLag {
    /// The first record that is not answered.
    pub answered: Watermark,
    /// The first record that no member has read (rule B7). A command in flight is read and not answered.
    pub read: Watermark,
    /// The offset of the next record.
    pub end: i64,
}

/// The backlog of a worker at one time. Without partitions if these are not known yet.
pub(super) struct BacklogSample {
    pub taken_at: Instant,
    pub partitions: Vec<PartitionLag>,
}

impl PartitionLag {
    fn unanswered(self) -> u64 {
        u64::try_from(self.end - self.answered.offset).unwrap_or(0)
    }

    /// Whether a command that was decided at `decided_at` may still be unread (rule B7).
    pub fn is_unconsumed(self, decided_at: Time) -> bool {
        self.read.offset < self.end
            && self
                .read
                .decided_at
                .is_some_and(|oldest| may_lie_behind(oldest, decided_at))
    }
}

impl BacklogSample {
    /// The backlog of a saga's partition, if it is known.
    pub fn partition_of(&self, saga: Uuid) -> Option<PartitionLag> {
        let mut key = Uuid::encode_buffer();
        let key = saga.hyphenated().encode_lower(&mut key);
        let count = i32::try_from(self.partitions.len()).ok()?;
        let index = usize::try_from(partition_for_key(key.as_bytes(), count)).ok()?;
        self.partitions.get(index).copied()
    }

    /// Records that are not answered.
    pub fn lag(&self) -> u64 {
        self.partitions.iter().map(|lag| lag.unanswered()).sum()
    }

    /// The age of the oldest record, in seconds; zero below the sampling interval.
    pub fn oldest_age_seconds(&self, now: Time) -> f64 {
        self.partitions
            .iter()
            .filter(|lag| lag.unanswered() > 0 && !lag.answered.estimated)
            .filter_map(|lag| lag.answered.decided_at)
            .min()
            .map_or(0.0, |oldest| now.since(oldest).as_secs_f64())
    }
}

/// Selects one of a partition's watermarks.
type Selector = fn(&mut PartitionLag) -> &mut Watermark;

/// Observes the consumer group of one worker.
pub(super) struct Sampler {
    observer: Observer,
    topic: String,
    partitions: i32,
    counted_at: Instant,
    previous: Vec<PartitionLag>,
    /// When the previous sample was taken, by the host's clock.
    previous_at: Time,
}

impl Sampler {
    pub fn new(settings: &KafkaSettings, replica: &str, worker: &str) -> Result<Self, Error> {
        let role = format!("orchestrator-{replica}-lag");
        Ok(Self {
            observer: Observer::new(settings, &role, &settings.worker_group(worker))?,
            topic: settings.topic(&Topic::Commands(worker.to_owned())),
            partitions: 0,
            counted_at: Instant::now(),
            previous: Vec::new(),
            previous_at: Time::default(),
        })
    }

    pub fn sample(&mut self, positions: &WorkerReadPositions) -> Result<BacklogSample, Error> {
        self.count_partitions()?;

        // The time before the offsets are read: a record that arrives meanwhile is later than the sample.
        let now = Time::from(chrono::Utc::now());
        let taken_at = Instant::now();

        // Right after a topic was created, a broker may not know its partitions.
        let mut partitions = match self.partitions {
            0 => Vec::new(),
            _ => self.read_offsets()?,
        };
        self.date(&mut partitions, |lag| &mut lag.answered);

        for (partition, lag) in (0..).zip(&mut partitions) {
            let offset = positions.up_to(partition, lag.end).max(lag.answered.offset);
            lag.read = match offset == lag.answered.offset {
                true => lag.answered,
                false => Watermark {
                    offset,
                    ..Watermark::default()
                },
            };
        }
        self.date(&mut partitions, |lag| &mut lag.read);

        self.previous.clone_from(&partitions);
        self.previous_at = now;
        Ok(BacklogSample {
            taken_at,
            partitions,
        })
    }

    fn count_partitions(&mut self) -> Result<(), Error> {
        if self.partitions > 0 && self.counted_at.elapsed() < PARTITION_COUNT_INTERVAL {
            return Ok(());
        }
        self.partitions = self.observer.partition_count(&self.topic)?;
        self.counted_at = Instant::now();
        Ok(())
    }

    fn read_offsets(&self) -> Result<Vec<PartitionLag>, Error> {
        let (topic, count) = (&self.topic, self.partitions);
        let committed = self.observer.committed_offsets(topic, count)?;
        let ends = self.observer.end_offsets(topic, count)?;
        // Needed only for partitions without a committed offset.
        let firsts = match committed.contains(&None) {
            true => self.observer.first_offsets(topic, count)?,
            false => Vec::new(),
        };

        let lag = |(index, (committed, end)): (usize, (Option<i64>, Option<i64>))| {
            let end = end.unwrap_or(0);
            let first = || firsts.get(index).copied().flatten();
            PartitionLag {
                answered: Watermark {
                    offset: committed.or_else(first).unwrap_or(end),
                    ..Watermark::default()
                },
                end,
                ..PartitionLag::default()
            }
        };
        Ok(committed
            .into_iter()
            .zip(ends)
            .enumerate()
            .map(lag)
            .collect())
    }

    /// Sets the decision time of each partition's watermark. To save requests a record is read only if it was there in
    /// the previous sample.
    fn date(&self, partitions: &mut [PartitionLag], select: Selector) {
        let mut unread = Vec::new();
        for (index, lag) in partitions.iter_mut().enumerate() {
            let end = lag.end;
            let watermark = select(lag);
            if watermark.offset >= end || watermark.decided_at.is_some() {
                continue;
            }

            let mut previous = self.previous.get(index).copied();
            match previous.as_mut().map(|lag| (lag.end, *select(lag))) {
                // The record arrived after the previous sample.
                Some((previous_end, _)) if previous_end <= watermark.offset => {
                    watermark.decided_at = Some(self.previous_at);
                    watermark.estimated = true;
                }
                // The same record was read for the previous sample.
                Some((_, previous))
                    if previous.offset == watermark.offset
                        && previous.decided_at.is_some()
                        && !previous.estimated =>
                {
                    watermark.decided_at = previous.decided_at;
                }
                // Until the record is read, the time of an earlier one is its lower bound.
                previous => {
                    watermark.decided_at = previous.and_then(|(_, previous)| previous.decided_at);
                    watermark.estimated = true;
                    unread.push((i32::try_from(index).unwrap_or(i32::MAX), watermark.offset));
                }
            }
        }
        if unread.is_empty() {
            return;
        }

        self.observer
            .read_at(&self.topic, &unread, READ_TIMEOUT, |record| {
                let index = usize::try_from(record.partition()).unwrap_or(usize::MAX);
                if let (Some(lag), Some(decided_at)) =
                    (partitions.get_mut(index), record.decided_at())
                {
                    let watermark = select(lag);
                    watermark.decided_at = Some(decided_at);
                    watermark.estimated = false;
                }
            });
    }
}
