//! What waits for each worker, sampled each second: how many records, since when the oldest, and which of them no
//! member has read.

use super::control::Control;
use super::members::Members;
use super::partition;
use super::sampler::Sampler;
use super::settings::Settings;
use super::topics::Topics;
use crate::bus::port::may_lie_behind;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use saga_protocol::Time;
use saga_worker::bus::kafka::link::Link;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often is sampled.
const EVERY: Duration = Duration::from_secs(1);
/// How long a sample counts: after that, nothing is known.
const COUNTS: Duration = Duration::from_secs(5);
/// How long a command counts as unconsumed while nothing is known of its worker: a broker that has just come back answers
/// some requests long before others.
const PATIENCE: Duration = Duration::from_secs(30);

/// The last sample of each worker.
pub(super) struct Lag {
    members: Arc<Members>,
    begun: Instant,
    samples: RwLock<BTreeMap<String, Arc<Sample>>>,
}

/// What waited for a worker at some moment; in no partition: they are not known yet.
pub(super) struct Sample {
    pub taken: Instant,
    pub partitions: Vec<Waiting>,
}

/// What [`Lag::unconsumed`] is to go by.
pub(super) struct Moments {
    /// Since when Kafka answers.
    pub answers_since: Instant,
    /// By when the command was in its partition: what was seen before says nothing of it.
    pub arrived: Instant,
    pub now: Instant,
}

/// What waited in one partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    /// The first record that is not answered, or where it will be.
    pub answered: Front,
    /// The first that no member has read (rule B7): what a member has in hand is not answered, and was read.
    pub read: Front,
    /// Behind the last record.
    pub to: i64,
}

/// How far a partition's records have come, and the first that has not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Front {
    /// Its offset, or where it will be.
    pub at: i64,
    /// When it was decided; unknown if it could not be read in time, nor any before it.
    pub since: Option<Time>,
    /// It was not looked at: `since` is a moment at or before its own.
    pub assumed: bool,
}

impl Waiting {
    fn lag(self) -> u64 {
        u64::try_from(self.to - self.answered.at).unwrap_or(0)
    }

    fn is_unconsumed(self, decided_at: Time) -> bool {
        self.read.at < self.to
            && self
                .read
                .since
                .is_some_and(|since| may_lie_behind(since, decided_at))
    }
}

impl Sample {
    /// What waits in that saga's partition, if it is known.
    fn of(&self, saga: Uuid) -> Option<&Waiting> {
        let mut key = Uuid::encode_buffer();
        let key = saga.hyphenated().encode_lower(&mut key);
        let index = partition::of(key.as_bytes(), i32::try_from(self.partitions.len()).ok()?);
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// Records not yet answered.
    pub fn lag(&self) -> u64 {
        self.partitions.iter().map(|waiting| waiting.lag()).sum()
    }

    /// How long the oldest has waited, in seconds; zero below a sample's interval.
    pub fn oldest_age_seconds(&self, now: Time) -> f64 {
        let waiting = self
            .partitions
            .iter()
            .filter(|waiting| waiting.lag() > 0 && !waiting.answered.assumed);
        waiting
            .filter_map(|waiting| waiting.answered.since)
            .min()
            .map_or(0.0, |oldest| now.since(oldest).as_secs_f64())
    }
}

impl Lag {
    /// Nothing is known yet.
    pub fn new(members: Arc<Members>) -> Arc<Self> {
        Arc::new(Self {
            members,
            begun: Instant::now(),
            samples: RwLock::default(),
        })
    }

    /// The last sample of each worker, none older than [`COUNTS`].
    pub fn samples(&self) -> BTreeMap<String, Arc<Sample>> {
        let mut samples = self
            .samples
            .read()
            .expect("no holder of this lock panics")
            .clone();
        samples
            .retain(|_, sample| !sample.partitions.is_empty() && sample.taken.elapsed() <= COUNTS);
        samples
    }

    /// See [`crate::bus::Bus::unconsumed`]. Where nothing is known for long a command counts as read, so that no timeout is
    /// put off for ever.
    pub fn unconsumed(&self, worker: &str, saga: Uuid, decided_at: Time, of: Moments) -> bool {
        let samples = self.samples.read().expect("no holder of this lock panics");
        let sample = samples.get(worker);
        let counts = |sample: &&Arc<Sample>| {
            sample.taken >= of.arrived && of.now.duration_since(sample.taken) <= COUNTS
        };
        if let Some(waiting) = sample.filter(counts).and_then(|sample| sample.of(saga)) {
            return waiting.is_unconsumed(decided_at);
        }
        let last = sample
            .map_or(self.begun, |sample| sample.taken)
            .max(of.answers_since);
        of.now.duration_since(last) <= PATIENCE
    }

    /// Samples until it is to end. Blocks.
    pub fn run(&self, settings: &Settings, topics: &Topics, link: &Arc<Link>, control: &Control) {
        let mut workers = BTreeMap::new();
        while !control.is_leaving() {
            let begun = Instant::now();
            for worker in topics.workers() {
                let outcome = match workers.get_mut(&worker) {
                    Some(sampler) => self.sample(&worker, sampler),
                    None => Sampler::new(settings, &worker, Arc::clone(link)).and_then(|sampler| {
                        self.put(
                            &worker,
                            Sample {
                                taken: Instant::now(),
                                partitions: Vec::new(),
                            },
                        );
                        let sampler = workers.entry(worker.clone()).or_insert(sampler);
                        self.sample(&worker, sampler)
                    }),
                };
                match outcome {
                    Ok(()) => link.up(),
                    Err(error) if is_settling(&error) => {
                        tracing::debug!(%error, worker, "no sample yet: {error}")
                    }
                    Err(error) => link.down(&error),
                }
            }
            while begun.elapsed() < EVERY && !control.is_leaving() {
                std::thread::park_timeout(Duration::from_millis(50));
            }
        }
    }

    fn sample(&self, worker: &str, sampler: &mut Sampler) -> KafkaResult<()> {
        self.put(worker, sampler.sample(&self.members.have_read(worker))?);
        Ok(())
    }

    fn put(&self, worker: &str, sample: Sample) {
        self.samples
            .write()
            .expect("no holder of this lock panics")
            .insert(worker.to_owned(), Arc::new(sample));
    }
}

/// A broker that answers so is there: it makes the topic, or starts.
fn is_settling(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::UnknownTopicOrPartition
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::MAX_REORDERING;

    const WORKER: &str = "pay";
    const SECOND: Duration = Duration::from_secs(1);

    struct Scene {
        lag: Arc<Lag>,
        decided_at: Time,
        /// When Kafka answered first.
        zero: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let lag = Lag::new(Arc::default());
            let zero = lag.begun;
            Self {
                lag,
                decided_at: Time::from(chrono::Utc::now()),
                zero,
            }
        }

        /// Its only partition, some seconds after `zero`: empty, or with an unconsumed record of that time.
        fn sampled(&self, after: u32, unconsumed: Option<Time>) {
            let read = Front {
                at: 0,
                since: unconsumed,
                assumed: false,
            };
            let waiting = Waiting {
                read,
                to: i64::from(unconsumed.is_some()),
                ..Waiting::default()
            };
            self.lag.put(
                WORKER,
                Sample {
                    taken: self.zero + SECOND * after,
                    partitions: vec![waiting],
                },
            );
        }

        /// Whether a command is unconsumed, some seconds after `zero`, that arrived some seconds after it.
        fn unconsumed(&self, arrived: u32, now: u32) -> bool {
            let (arrived, now) = (self.zero + SECOND * arrived, self.zero + SECOND * now);
            self.lag.unconsumed(
                WORKER,
                Uuid::nil(),
                self.decided_at,
                Moments {
                    answers_since: self.zero,
                    arrived,
                    now,
                },
            )
        }
    }

    #[test]
    fn b7_only_what_was_seen_once_a_command_had_arrived_says_that_it_was_read() {
        let scene = Scene::new();
        scene.sampled(10, None);
        assert!(!scene.unconsumed(10, 12), "nothing lay there");
        assert!(scene.unconsumed(11, 12), "when it was not there yet");
        scene.sampled(12, Some(scene.decided_at));
        assert!(scene.unconsumed(11, 12));
        scene.sampled(13, Some(scene.decided_at + MAX_REORDERING + SECOND));
        assert!(!scene.unconsumed(11, 13), "younger ones lie there");
    }

    #[test]
    fn b7_where_nothing_is_known_a_command_is_unconsumed_for_half_a_minute() {
        let scene = Scene::new();
        assert!(
            scene.unconsumed(0, 30) && !scene.unconsumed(0, 31),
            "no sample was ever taken"
        );
        scene.sampled(100, None);
        assert!(!scene.unconsumed(0, 105), "nothing lay there");
        assert!(scene.unconsumed(0, 106), "and nothing was seen since");
        assert!(scene.unconsumed(0, 130) && !scene.unconsumed(0, 131));
        scene.lag.put(
            WORKER,
            Sample {
                taken: scene.zero + SECOND * 200,
                partitions: Vec::new(),
            },
        );
        assert!(
            scene.unconsumed(0, 201),
            "its topic's partitions are not known yet"
        );
        assert!(scene.lag.samples().is_empty(), "nor told");
    }

    #[test]
    fn b7_that_half_minute_begins_anew_when_kafka_is_back() {
        let scene = Scene::new();
        scene.sampled(10, None);
        let back = Moments {
            answers_since: scene.zero + SECOND * 600,
            arrived: scene.zero,
            now: scene.zero + SECOND * 601,
        };
        assert!(
            scene
                .lag
                .unconsumed(WORKER, Uuid::nil(), scene.decided_at, back)
        );
    }
}
