//! Samples the backlog of each worker every second: the number of records, the age of the oldest, and the records that
//! no member has read.

use super::members::Members;
use super::sampler::{BacklogSample, Sampler};
use super::topics::TopicRegistry;
use saga_kafka::{ConsumerControl, Error, KafkaSettings};
use saga_protocol::Time;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often a sample is taken.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the thread checks whether it should end.
const CLOSE_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// How long a sample is valid. Afterwards the backlog is unknown.
const SAMPLE_LIFETIME: Duration = Duration::from_secs(5);
/// How long a command counts as unconsumed while the backlog of its worker is unknown. A broker that has just restarted
/// answers some requests long before others.
const UNKNOWN_LIMIT: Duration = Duration::from_secs(30);

/// The last sample of each worker.
pub(super) struct BacklogMonitor {
    members: Arc<Members>,
    started_at: Instant,
    samples: RwLock<BTreeMap<String, Arc<BacklogSample>>>,
}

/// The times by which [`BacklogMonitor::unconsumed`] judges a sample.
pub(super) struct ProbeTimes {
    /// When Kafka became available.
    pub available_since: Instant,
    /// When the command was in its partition at the latest: an earlier sample may not include it.
    pub arrived: Instant,
    pub now: Instant,
}

impl BacklogMonitor {
    /// A monitor without samples.
    pub fn new(members: Arc<Members>) -> Arc<Self> {
        Arc::new(Self {
            members,
            started_at: Instant::now(),
            samples: RwLock::default(),
        })
    }

    /// The valid samples, by worker.
    pub fn samples(&self) -> BTreeMap<String, Arc<BacklogSample>> {
        let mut samples = self.current().clone();
        samples.retain(|_, sample| {
            !sample.partitions.is_empty() && sample.taken_at.elapsed() <= SAMPLE_LIFETIME
        });
        samples
    }

    /// See [`crate::bus::Bus::unconsumed`]. If the backlog is unknown for longer than [`UNKNOWN_LIMIT`], a command
    /// counts as consumed, so that no timeout is postponed forever.
    pub fn unconsumed(
        &self,
        worker: &str,
        saga: Uuid,
        decided_at: Time,
        times: ProbeTimes,
    ) -> bool {
        let samples = self.current();
        let sample = samples.get(worker);

        let is_valid = |sample: &&Arc<BacklogSample>| {
            sample.taken_at >= times.arrived
                && times.now.duration_since(sample.taken_at) <= SAMPLE_LIFETIME
        };
        let lag = sample
            .filter(is_valid)
            .and_then(|sample| sample.partition_of(saga));
        if let Some(lag) = lag {
            return lag.is_unconsumed(decided_at);
        }

        let last_known = sample
            .map_or(self.started_at, |sample| sample.taken_at)
            .max(times.available_since);
        times.now.duration_since(last_known) <= UNKNOWN_LIMIT
    }

    /// Takes samples until the bus is closed. Blocks.
    pub fn run(
        &self,
        settings: &KafkaSettings,
        replica: &str,
        topics: &TopicRegistry,
        control: &ConsumerControl,
    ) {
        let mut samplers = BTreeMap::new();
        while !control.is_closed() {
            let begun = Instant::now();
            for worker in topics.workers() {
                match self.sample(settings, replica, &worker, &mut samplers) {
                    Ok(()) => settings.health.mark_available(),
                    Err(error) if error.is_transient() => {
                        tracing::debug!(%error, worker, "backlog is not available yet");
                    }
                    Err(error) => settings.health.mark_unavailable(&error),
                }
            }

            while begun.elapsed() < SAMPLE_INTERVAL && !control.is_closed() {
                std::thread::park_timeout(CLOSE_CHECK_INTERVAL);
            }
        }
    }

    fn sample(
        &self,
        settings: &KafkaSettings,
        replica: &str,
        worker: &str,
        samplers: &mut BTreeMap<String, Sampler>,
    ) -> Result<(), Error> {
        if !samplers.contains_key(worker) {
            samplers.insert(worker.to_owned(), Sampler::new(settings, replica, worker)?);
            // `UNKNOWN_LIMIT` counts from now.
            let empty = BacklogSample {
                taken_at: Instant::now(),
                partitions: Vec::new(),
            };
            self.put(worker, empty);
        }

        if let Some(sampler) = samplers.get_mut(worker) {
            let sample = sampler.sample(&self.members.read_positions(worker))?;
            self.put(worker, sample);
        }
        Ok(())
    }

    fn put(&self, worker: &str, sample: BacklogSample) {
        self.samples
            .write()
            .expect("lock poisoned")
            .insert(worker.to_owned(), Arc::new(sample));
    }

    fn current(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<BacklogSample>>> {
        self.samples.read().expect("lock poisoned")
    }
}

#[cfg(test)]
mod tests {
    use super::super::sampler::{PartitionLag, Watermark};
    use super::*;
    use crate::bus::MAX_REORDERING;

    const WORKER: &str = "pay";
    const SECOND: Duration = Duration::from_secs(1);

    struct Fixture {
        monitor: Arc<BacklogMonitor>,
        decided_at: Time,
        /// When Kafka first answered.
        zero: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let monitor = BacklogMonitor::new(Arc::default());
            let zero = monitor.started_at;
            Self {
                monitor,
                decided_at: Time::from(chrono::Utc::now()),
                zero,
            }
        }

        /// A sample of one partition, taken some seconds after `zero`: empty, or with an unread record of that time.
        fn sampled(&self, after: u32, unconsumed: Option<Time>) {
            let read = Watermark {
                offset: 0,
                decided_at: unconsumed,
                estimated: false,
            };
            let lag = PartitionLag {
                read,
                end: i64::from(unconsumed.is_some()),
                ..PartitionLag::default()
            };
            self.monitor.put(
                WORKER,
                BacklogSample {
                    taken_at: self.zero + SECOND * after,
                    partitions: vec![lag],
                },
            );
        }

        /// Whether a command that arrived some seconds after `zero` is unconsumed at `now`.
        fn unconsumed(&self, arrived: u32, now: u32) -> bool {
            let (arrived, now) = (self.zero + SECOND * arrived, self.zero + SECOND * now);
            self.monitor.unconsumed(
                WORKER,
                Uuid::nil(),
                self.decided_at,
                ProbeTimes {
                    available_since: self.zero,
                    arrived,
                    now,
                },
            )
        }
    }

    #[test]
    fn b7_sample_before_the_arrival_says_nothing() {
        let fixture = Fixture::new();
        fixture.sampled(10, None);
        assert!(!fixture.unconsumed(10, 12), "the partition is empty");
        assert!(
            fixture.unconsumed(11, 12),
            "the sample is older than the command"
        );
        fixture.sampled(12, Some(fixture.decided_at));
        assert!(fixture.unconsumed(11, 12));
        fixture.sampled(13, Some(fixture.decided_at + MAX_REORDERING + SECOND));
        assert!(
            !fixture.unconsumed(11, 13),
            "only later commands are unread"
        );
    }

    #[test]
    fn b7_unknown_worker_counts_as_unconsumed_for_30_s() {
        let fixture = Fixture::new();
        assert!(
            fixture.unconsumed(0, 30) && !fixture.unconsumed(0, 31),
            "there is no sample"
        );
        fixture.sampled(100, None);
        assert!(!fixture.unconsumed(0, 105), "the partition is empty");
        assert!(fixture.unconsumed(0, 106), "the sample has expired");
        assert!(fixture.unconsumed(0, 130) && !fixture.unconsumed(0, 131));
        fixture.monitor.put(
            WORKER,
            BacklogSample {
                taken_at: fixture.zero + SECOND * 200,
                partitions: Vec::new(),
            },
        );
        assert!(
            fixture.unconsumed(0, 201),
            "the partitions are not known yet"
        );
        assert!(
            fixture.monitor.samples().is_empty(),
            "and it is not published"
        );
    }

    #[test]
    fn b7_unknown_time_restarts_when_kafka_is_back() {
        let fixture = Fixture::new();
        fixture.sampled(10, None);
        let back = ProbeTimes {
            available_since: fixture.zero + SECOND * 600,
            arrived: fixture.zero,
            now: fixture.zero + SECOND * 601,
        };
        assert!(
            fixture
                .monitor
                .unconsumed(WORKER, Uuid::nil(), fixture.decided_at, back)
        );
    }
}
