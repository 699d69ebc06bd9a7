//! Asks Kafka what waits for one worker.

use super::decode;
use super::lag::{Front, Sample, Waiting};
use super::members::HaveRead;
use super::reader::Reader;
use super::settings::Settings;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Message, Offset, TopicPartitionList};
use saga_protocol::Time;
use saga_protocol::message::Topic;
use saga_worker::bus::kafka::link::{Client, Link};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the broker may take for each answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long the oldest unconsumed records may take to be read.
const READ: Duration = Duration::from_millis(300);
/// How often it is asked how many partitions there are.
const COUNT_PARTITIONS: Duration = Duration::from_secs(30);

/// One of the fronts of a partition.
type Which = fn(&mut Waiting) -> &mut Front;

/// The consumer group of one worker, looked at from outside.
pub(super) struct Sampler {
    reader: Reader,
    topic: String,
    partitions: i32,
    counted_at: Instant,
    before: Vec<Waiting>,
    /// When the sample before was taken, by the host's clock.
    before_at: Time,
}

impl Sampler {
    pub fn new(settings: &Settings, worker: &str, link: Arc<Link>) -> KafkaResult<Self> {
        let config = settings.onlooker("lag", &settings.worker_group(worker));
        let reader = Reader(BaseConsumer::from_config_and_context(
            &config,
            Client(link),
        )?);
        let topic = settings.topic(&Topic::Commands(worker.to_owned()));
        let counted_at = Instant::now();
        Ok(Self {
            reader,
            topic,
            partitions: 0,
            counted_at,
            before: Vec::new(),
            before_at: Time::default(),
        })
    }

    pub fn sample(&mut self, members: &HaveRead) -> KafkaResult<Sample> {
        self.count_partitions()?;
        let taken_at = Time::from(chrono::Utc::now());
        let taken = Instant::now();
        // Right after a topic was made, a broker may not know its partitions yet.
        let mut partitions = if self.partitions == 0 {
            Vec::new()
        } else {
            self.offsets()?
        };
        self.date(&mut partitions, |waiting| &mut waiting.answered);
        for (partition, waiting) in (0..).zip(&mut partitions) {
            let at = members
                .up_to(partition, waiting.to)
                .max(waiting.answered.at);
            let same = at == waiting.answered.at;
            waiting.read = if same {
                waiting.answered
            } else {
                Front {
                    at,
                    ..Front::default()
                }
            };
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
        let count = metadata
            .topics()
            .iter()
            .map(|topic| topic.partitions().len())
            .sum::<usize>();
        self.partitions = i32::try_from(count).unwrap_or(i32::MAX);
        self.counted_at = Instant::now();
        Ok(())
    }

    fn offsets(&self) -> KafkaResult<Vec<Waiting>> {
        let committed = self
            .reader
            .0
            .committed_offsets(self.all(Offset::Invalid)?, ANSWER)?;
        // One request each, unlike `fetch_watermarks`: the ends, and, where nothing was ever committed, the beginnings.
        let ends = self
            .reader
            .0
            .offsets_for_times(self.all(Offset::End)?, ANSWER)?;
        let never = committed
            .elements()
            .iter()
            .any(|element| !matches!(element.offset(), Offset::Offset(_)));
        let beginnings = match never {
            true => Some(
                self.reader
                    .0
                    .offsets_for_times(self.all(Offset::Beginning)?, ANSWER)?,
            ),
            false => None,
        };
        let waiting = |partition| {
            let to = self.at(&ends, partition)?.unwrap_or(0);
            let from = match (self.at(&committed, partition)?, &beginnings) {
                (Some(from), _) => from,
                (None, Some(beginnings)) => self.at(beginnings, partition)?.unwrap_or(to),
                (None, None) => to,
            };
            Ok(Waiting {
                answered: Front {
                    at: from,
                    ..Front::default()
                },
                to,
                ..Waiting::default()
            })
        };
        (0..self.partitions).map(waiting).collect()
    }

    /// The offset that a list says of a partition, if it says one.
    fn at(&self, list: &TopicPartitionList, partition: i32) -> KafkaResult<Option<i64>> {
        let Some(element) = list.find_partition(&self.topic, partition) else {
            return Ok(None);
        };
        element.error()?;
        Ok(if let Offset::Offset(offset) = element.offset() {
            Some(offset)
        } else {
            None
        })
    }

    fn all(&self, offset: Offset) -> KafkaResult<TopicPartitionList> {
        let mut list =
            TopicPartitionList::with_capacity(usize::try_from(self.partitions).unwrap_or(0));
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
                Some((_, before))
                    if before.at == front.at && before.since.is_some() && !before.assumed =>
                {
                    front.since = before.since;
                }
                before => {
                    // Until it is read. What lay before it came before it.
                    (front.since, front.assumed) =
                        (before.and_then(|(_, before)| before.since), true);
                    unknown.push((i32::try_from(index).unwrap_or(i32::MAX), front.at));
                }
            }
        }
        if unknown.is_empty() {
            return;
        }
        self.reader.read(&self.topic, &unknown, READ, |record| {
            let index = usize::try_from(record.partition()).unwrap_or(usize::MAX);
            if let (Some(waiting), Some(decided_at)) =
                (partitions.get_mut(index), decode::decided_at(record))
            {
                let front = which(waiting);
                (front.since, front.assumed) = (Some(decided_at), false);
            }
        });
    }
}
