//! What waits for each worker, sampled each second: how many records, since when the oldest, and which of them no
//! member has read.

use super::control::Control;
use super::link::{Client, Link};
use super::members::{HaveRead, Members};
use super::reader::Reader;
use super::settings::Settings;
use super::topics::Topics;
use super::{decode, partition};
use crate::bus::port::may_lie_behind;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use uuid::Uuid;
use workflows::Time;
use workflows::message::Topic;

/// How often is sampled.
const EVERY: Duration = Duration::from_secs(1);
/// How long a sample counts: after that, nothing is known.
const COUNTS: Duration = Duration::from_secs(5);
/// How long the broker may take for each answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long the oldest unread records may take to be read.
const READ: Duration = Duration::from_millis(300);
/// How often it is asked how many partitions there are.
const COUNT_PARTITIONS: Duration = Duration::from_secs(30);

/// The last sample of each worker.
pub(super) struct Lag {
    members: Arc<Members>,
    begun: Instant,
    samples: RwLock<BTreeMap<String, Arc<Sample>>>,
}

/// What waited for a worker at some moment.
pub(super) struct Sample {
    taken: Instant,
    partitions: Vec<Waiting>,
}

/// What waited in one partition.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    /// The first record that is not answered, or where it will be.
    answered: Front,
    /// The first that no member has read (rule B7): what a member has in hand is not answered, and was read.
    read: Front,
    /// Behind the last record.
    to: i64,
}

/// How far a partition's records have come, and the first that has not.
#[derive(Clone, Copy, Debug, Default)]
struct Front {
    /// Its offset, or where it will be.
    at: i64,
    /// When it was decided; unknown if it could not be read in time, nor any before it.
    since: Option<Time>,
    /// It was not looked at: `since` is a moment at or before its own.
    assumed: bool,
}

/// One of the fronts of a partition.
type Which = fn(&mut Waiting) -> &mut Front;

impl Waiting {
    fn lag(self) -> u64 {
        u64::try_from(self.to - self.answered.at).unwrap_or(0)
    }

    fn is_unread(self, decided_at: Time) -> bool {
        self.read.at < self.to && self.read.since.is_some_and(|since| may_lie_behind(since, decided_at))
    }
}

impl Sample {
    /// Records not yet answered.
    pub fn lag(&self) -> u64 {
        self.partitions.iter().map(|waiting| waiting.lag()).sum()
    }

    /// How long the oldest has waited, in seconds; zero below a sample's interval.
    pub fn oldest_age_seconds(&self, now: Time) -> f64 {
        let waiting = self.partitions.iter().filter(|waiting| waiting.lag() > 0 && !waiting.answered.assumed);
        waiting.filter_map(|waiting| waiting.answered.since).min().map_or(0.0, |oldest| now.since(oldest).as_secs_f64())
    }
}

impl Lag {
    /// Nothing is known yet.
    pub fn new(members: Arc<Members>) -> Arc<Self> {
        Arc::new(Self { members, begun: Instant::now(), samples: RwLock::default() })
    }

    /// The last sample of each worker, none older than [`COUNTS`].
    pub fn samples(&self) -> BTreeMap<String, Arc<Sample>> {
        let mut samples = self.samples.read().expect("no holder of this lock panics").clone();
        samples.retain(|_, sample| sample.taken.elapsed() <= COUNTS);
        samples
    }

    /// See [`crate::bus::Bus::unread`]. Where nothing is known: a command counts as read, so that no timeout is put off
    /// for ever, except right after the start, before there can be a sample.
    pub fn unread(&self, worker: &str, saga: Uuid, decided_at: Time) -> bool {
        let samples = self.samples.read().expect("no holder of this lock panics");
        let Some(sample) = samples.get(worker).filter(|sample| sample.taken.elapsed() <= COUNTS) else {
            return self.begun.elapsed() <= COUNTS;
        };
        let count = i32::try_from(sample.partitions.len()).unwrap_or(0);
        let index = partition::of(saga.to_string().as_bytes(), count);
        let waiting = usize::try_from(index).ok().and_then(|index| sample.partitions.get(index));
        waiting.is_some_and(|waiting| waiting.is_unread(decided_at))
    }

    /// Samples until it is to end. Blocks.
    pub fn run(&self, settings: &Settings, topics: &Topics, link: &Arc<Link>, control: &Control) {
        let mut workers = BTreeMap::new();
        while !control.is_leaving() {
            let begun = Instant::now();
            for worker in topics.workers() {
                let outcome = match workers.get_mut(&worker) {
                    Some(group) => self.sample(&worker, group),
                    None => Group::new(settings, &worker, Arc::clone(link)).and_then(|group| {
                        let group = workers.entry(worker.clone()).or_insert(group);
                        self.sample(&worker, group)
                    }),
                };
                match outcome {
                    Ok(()) => link.up(),
                    Err(error) if is_settling(&error) => tracing::debug!(%error, worker, "no sample yet: {error}"),
                    Err(error) => link.down(&error),
                }
            }
            while begun.elapsed() < EVERY && !control.is_leaving() {
                std::thread::park_timeout(Duration::from_millis(50));
            }
        }
    }

    fn sample(&self, worker: &str, group: &mut Group) -> KafkaResult<()> {
        let sample = Arc::new(group.sample(&self.members.have_read(worker))?);
        self.samples.write().expect("no holder of this lock panics").insert(worker.to_owned(), sample);
        Ok(())
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

/// The consumer group of one worker, looked at from outside.
struct Group {
    reader: Reader,
    topic: String,
    partitions: i32,
    counted_at: Instant,
    before: Vec<Waiting>,
    /// When the sample before was taken, by the host's clock.
    before_at: Time,
}

impl Group {
    fn new(settings: &Settings, worker: &str, link: Arc<Link>) -> KafkaResult<Self> {
        let config = settings.onlooker("lag", &settings.worker_group(worker));
        let reader = Reader(BaseConsumer::from_config_and_context(&config, Client(link))?);
        let topic = settings.topic(&Topic::Commands(worker.to_owned()));
        let counted_at = Instant::now();
        Ok(Self { reader, topic, partitions: 0, counted_at, before: Vec::new(), before_at: Time::default() })
    }

    fn sample(&mut self, members: &HaveRead) -> KafkaResult<Sample> {
        self.count_partitions()?;
        let taken_at = Time::from(chrono::Utc::now());
        let taken = Instant::now();
        // Right after a topic was made, a broker may not know its partitions yet.
        let mut partitions = if self.partitions == 0 { Vec::new() } else { self.offsets()? };
        self.date(&mut partitions, |waiting| &mut waiting.answered);
        for (partition, waiting) in (0..).zip(&mut partitions) {
            let at = members.up_to(partition, waiting.to).max(waiting.answered.at);
            let same = at == waiting.answered.at;
            waiting.read = if same { waiting.answered } else { Front { at, ..Front::default() } };
        }
        self.date(&mut partitions, |waiting| &mut waiting.read);
        self.before.clone_from(&partitions);
        self.before_at = taken_at;
        Ok(Sample { taken, partitions })
    }

    fn count_partitions(&mut self) -> KafkaResult<()> {
        if self.partitions > 0 && self.counted_at.elapsed() < COUNT_PARTITIONS {
            return Ok(());
        }
        let metadata = self.reader.0.fetch_metadata(Some(&self.topic), ANSWER)?;
        let count = metadata.topics().iter().map(|topic| topic.partitions().len()).sum::<usize>();
        self.partitions = i32::try_from(count).unwrap_or(i32::MAX);
        self.counted_at = Instant::now();
        Ok(())
    }

    fn offsets(&self) -> KafkaResult<Vec<Waiting>> {
        let committed = self.reader.0.committed_offsets(self.all(Offset::Invalid)?, ANSWER)?;
        // One request each, unlike `fetch_watermarks`: the ends, and, where nothing was ever committed, the beginnings.
        let ends = self.reader.0.offsets_for_times(self.all(Offset::End)?, ANSWER)?;
        let never = committed.elements().iter().any(|element| !matches!(element.offset(), Offset::Offset(_)));
        let beginnings = match never {
            true => Some(self.reader.0.offsets_for_times(self.all(Offset::Beginning)?, ANSWER)?),
            false => None,
        };
        let waiting = |partition| {
            let to = self.at(&ends, partition)?.unwrap_or(0);
            let from = match (self.at(&committed, partition)?, &beginnings) {
                (Some(from), _) => from,
                (None, Some(beginnings)) => self.at(beginnings, partition)?.unwrap_or(to),
                (None, None) => to,
            };
            Ok(Waiting { answered: Front { at: from, ..Front::default() }, to, ..Waiting::default() })
        };
        (0..self.partitions).map(waiting).collect()
    }

    /// The offset that a list says of a partition, if it says one.
    fn at(&self, list: &TopicPartitionList, partition: i32) -> KafkaResult<Option<i64>> {
        let Some(element) = list.find_partition(&self.topic, partition) else { return Ok(None) };
        element.error()?;
        Ok(if let Offset::Offset(offset) = element.offset() { Some(offset) } else { None })
    }

    fn all(&self, offset: Offset) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(usize::try_from(self.partitions).unwrap_or(0));
        for partition in 0..self.partitions {
            list.add_partition_offset(&self.topic, partition, offset)?;
        }
        Ok(list)
    }

    /// Finds when the record at that front of each partition was decided. A record is looked at only where there is a
    /// real backlog.
    fn date(&self, partitions: &mut [Waiting], which: Which) {
        let mut unknown = Vec::new();
        for (index, waiting) in partitions.iter_mut().enumerate() {
            let to = waiting.to;
            let front = which(waiting);
            if front.at >= to || front.since.is_some() {
                continue;
            }
            let mut before = self.before.get(index).copied();
            match before.as_mut().map(|before| (before.to, *which(before))) {
                Some((to_before, _)) if to_before <= front.at => {
                    // It came after the sample before.
                    (front.since, front.assumed) = (Some(self.before_at), true);
                }
                Some((_, before)) if before.at == front.at && before.since.is_some() && !before.assumed => {
                    front.since = before.since;
                }
                before => {
                    // Until it is read. What lay before it came before it.
                    (front.since, front.assumed) = (before.and_then(|(_, before)| before.since), true);
                    unknown.push((i32::try_from(index).unwrap_or(i32::MAX), front.at));
                }
            }
        }
        if unknown.is_empty() {
            return;
        }
        self.reader.read(&self.topic, &unknown, READ, |record| {
            let index = usize::try_from(record.partition()).unwrap_or(usize::MAX);
            if let (Some(waiting), Some(decided_at)) = (partitions.get_mut(index), decode::decided_at(record)) {
                let front = which(waiting);
                (front.since, front.assumed) = (Some(decided_at), false);
            }
        });
    }
}
