use super::queues::{MAX_QUEUED_COMMANDS, REDELIVERY_DELAY};
use super::*;
use crate::bus::{Bus, BusChannels, Delivery, IncomingReply, MAX_REORDERING, OutboxBatch};
use saga_protocol::message::{
    Command, CommandInput, Envelope, OutboxMessage, Reply, ReplyOutcome, Topic, WorkerHeartbeat,
};
use saga_protocol::{Action, Payload, Time};
use saga_worker::bus::{CommandDelivery, CommandSource, ReplySink};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

/// Fails a test that hangs. While time is paused it passes at once.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

struct Fixture {
    bus: Arc<InProcessBus>,
    replies: mpsc::Receiver<IncomingReply>,
    deliveries: mpsc::Receiver<Delivery>,
}

impl Fixture {
    /// A bus whose channels hold four messages.
    fn new() -> Self {
        let (replies_sender, replies) = mpsc::channel(4);
        let (deliveries_sender, deliveries) = mpsc::channel(4);
        Self {
            bus: InProcessBus::start(BusChannels {
                replies: replies_sender,
                deliveries: deliveries_sender,
            }),
            replies,
            deliveries,
        }
    }

    async fn acknowledged(&mut self) -> (OutboxBatch, Vec<(usize, String)>) {
        match within_timeout(self.deliveries.recv()).await {
            Some(Delivery::Acknowledged { batch, rejected }) => (batch, rejected),
            other => panic!("the batch was not acknowledged: {other:?}"),
        }
    }
}

fn now() -> Time {
    Time::from(chrono::Utc::now())
}

fn command(worker: &str, attempt: u32) -> OutboxMessage {
    let saga_id = Uuid::now_v7();
    let command = Command {
        saga_id,
        workflow: "order".to_owned(),
        version: 1,
        key: saga_id.to_string(),
        step: worker.to_owned(),
        action: Action::Execute,
        attempt,
        revision: 1,
        decided_at: now(),
        deadline: now(),
        happened: None,
        revoke_only: false,
        input: CommandInput::default(),
    };
    let envelope = Envelope {
        correlation_id: Some("c-1".to_owned()),
        traceparent: None,
    };
    OutboxMessage::command(worker, &command, envelope).unwrap()
}

fn event() -> OutboxMessage {
    OutboxMessage {
        topic: Topic::Events,
        ..command("pay", 1)
    }
}

fn batch(messages: Vec<OutboxMessage>) -> OutboxBatch {
    OutboxBatch {
        id: Uuid::now_v7(),
        messages: messages.into(),
        late: false,
    }
}

/// Commands with the attempts `1..=count`, by which the tests tell them apart.
fn commands(worker: &str, count: usize) -> OutboxBatch {
    let attempts = 1..=count as u32;
    batch(attempts.map(|attempt| command(worker, attempt)).collect())
}

fn reply(attempt: u32) -> (Reply, Envelope) {
    let command: Command = command("pay", attempt).value.decode().unwrap();
    (
        Reply::new(&command, ReplyOutcome::Completed),
        Envelope::default(),
    )
}

async fn within_timeout<T>(future: impl Future<Output = T>) -> T {
    timeout(TEST_TIMEOUT, future).await.expect("timed out")
}

fn attempts(deliveries: &[CommandDelivery]) -> Vec<u32> {
    let attempt = |delivery: &CommandDelivery| delivery.command.attempt;
    deliveries.iter().map(attempt).collect()
}

fn acknowledge(deliveries: Vec<CommandDelivery>) {
    for delivery in deliveries {
        delivery.ack.done();
    }
}

#[tokio::test(start_paused = true)]
async fn commands_arrive_in_order_and_complete_their_batch() {
    let mut fixture = Fixture::new();
    let mut source = fixture.bus.source("pay");
    let batch = commands("pay", 3);
    assert!(fixture.bus.publish(&batch));

    let mut polled = within_timeout(source.poll(2)).await.unwrap();
    polled.extend(within_timeout(source.poll(2)).await.unwrap());
    assert_eq!(attempts(&polled), [1, 2, 3]);
    assert_eq!(polled[0].envelope.correlation_id.as_deref(), Some("c-1"));

    let last = polled.pop().unwrap();
    acknowledge(polled);
    assert!(
        fixture.deliveries.try_recv().is_err(),
        "one command is in flight"
    );

    last.ack.done();
    let (acknowledged, rejected) = fixture.acknowledged().await;
    assert_eq!((acknowledged.id, rejected.len()), (batch.id, 0));
}

#[tokio::test(start_paused = true)]
async fn d5_dropped_command_is_redelivered() {
    let mut fixture = Fixture::new();
    let mut source = fixture.bus.source("pay");
    assert!(fixture.bus.publish(&commands("pay", 2)));

    let mut polled = within_timeout(source.poll(10)).await.unwrap();
    polled.pop().unwrap().ack.done();
    drop(polled);
    assert_eq!(
        fixture.bus.workers()[0].lag,
        1,
        "the dropped command stays in the backlog"
    );

    let dropped_at = tokio::time::Instant::now();
    let redelivered = within_timeout(source.poll(10)).await.unwrap();
    assert_eq!(attempts(&redelivered), [1]);
    assert!(
        dropped_at.elapsed() >= REDELIVERY_DELAY,
        "the redelivery is delayed"
    );

    acknowledge(redelivered);
    fixture.acknowledged().await;
    assert_eq!(fixture.bus.workers()[0].lag, 0);
}

#[tokio::test(start_paused = true)]
async fn batch_with_one_full_queue_is_enqueued_nowhere() {
    let mut fixture = Fixture::new();
    assert!(
        fixture
            .bus
            .publish(&commands("pay", MAX_QUEUED_COMMANDS - 1))
    );

    let both = batch(vec![
        command("store", 1),
        command("pay", 1),
        command("pay", 2),
    ]);
    assert!(!fixture.bus.publish(&both));
    let lags: Vec<_> = fixture
        .bus
        .workers()
        .into_iter()
        .map(|worker| (worker.worker, worker.lag))
        .collect();
    assert_eq!(
        lags,
        [("pay".to_owned(), MAX_QUEUED_COMMANDS as u64 - 1)],
        "the store's command was not enqueued"
    );

    let mut source = fixture.bus.source("pay");
    let polled = within_timeout(source.poll(1)).await.unwrap();
    assert!(
        !fixture.bus.publish(&both),
        "a command in flight counts towards the capacity"
    );

    acknowledge(polled);
    assert!(fixture.bus.publish(&both));
    assert!(fixture.deliveries.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn batch_larger_than_a_queue_fits_an_empty_one() {
    let fixture = Fixture::new();
    assert!(
        fixture
            .bus
            .publish(&commands("pay", MAX_QUEUED_COMMANDS + 1))
    );
    assert!(!fixture.bus.publish(&commands("pay", 1)));
}

#[tokio::test(start_paused = true)]
async fn d5_reply_is_resent_if_dropped() {
    let mut fixture = Fixture::new();
    let sink = fixture.bus.sink();
    let sending = tokio::spawn(async move { sink.send(vec![reply(1), reply(2)]).await });

    let first = within_timeout(fixture.replies.recv()).await.unwrap();
    drop(within_timeout(fixture.replies.recv()).await.unwrap());
    first.ack.done();

    let resent = within_timeout(fixture.replies.recv()).await.unwrap();
    assert_eq!(resent.reply.attempt, 2);
    assert!(!sending.is_finished(), "the second reply is not durable");

    resent.ack.done();
    within_timeout(sending).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn c4_rejected_reply_is_dead_lettered_alone() {
    let mut fixture = Fixture::new();
    let sink = fixture.bus.sink();
    let sending = tokio::spawn(async move { sink.send(vec![reply(1)]).await });

    let incoming = within_timeout(fixture.replies.recv()).await.unwrap();
    incoming.ack.reject("a NUL");
    within_timeout(sending).await.unwrap().unwrap();

    let letters = fixture.bus.dead_letters();
    assert_eq!((letters.len(), letters[0].reason.as_str()), (1, "a NUL"));
    let value = letters[0].value.as_deref().unwrap();
    assert_eq!(serde_json::from_slice::<Reply>(value).unwrap().attempt, 1);
}

#[tokio::test(start_paused = true)]
async fn closed_bus_ends_senders_and_sources() {
    let fixture = Fixture::new();
    let sink = fixture.bus.sink();
    let mut source = fixture.bus.source("pay");
    let sending = tokio::spawn(async move { sink.send(vec![reply(1)]).await });
    let polling = tokio::spawn(async move { source.poll(1).await.is_none() });

    // Both tasks wait before the bus is closed.
    tokio::task::yield_now().await;
    fixture.bus.close().await;
    assert!(within_timeout(sending).await.unwrap().is_err());
    assert!(within_timeout(polling).await.unwrap());
    assert!(!fixture.bus.publish(&commands("pay", 1)));
}

/// The workers reply faster than the engine receives, through channels of four messages, while the engine publishes
/// without ever waiting.
#[tokio::test(flavor = "multi_thread")]
async fn d5_full_channels_never_deadlock() {
    const BATCHES: usize = 200;
    const BATCH_SIZE: usize = 50;
    let Fixture {
        bus,
        mut replies,
        mut deliveries,
    } = Fixture::new();

    for _ in 0..3 {
        let mut source = bus.source("pay");
        let sink = bus.sink();
        tokio::spawn(async move {
            while let Some(polled) = source.poll(7).await {
                let replies = polled.iter().map(|delivery| {
                    let reply = Reply::new(&delivery.command, ReplyOutcome::Completed);
                    (reply, delivery.envelope.clone())
                });
                sink.send(replies.collect()).await.unwrap();
                acknowledge(polled);
            }
        });
    }

    let publisher = Arc::clone(&bus);
    tokio::spawn(async move {
        for _ in 0..BATCHES {
            let batch = commands("pay", BATCH_SIZE);
            while !publisher.publish(&batch) {
                tokio::task::yield_now().await;
            }
        }
    });

    let receive_replies = tokio::spawn(async move {
        for _ in 0..BATCHES * BATCH_SIZE {
            replies.recv().await.unwrap().ack.done();
        }
    });
    let receive_deliveries = tokio::spawn(async move {
        for _ in 0..BATCHES {
            assert!(matches!(
                deliveries.recv().await,
                Some(Delivery::Acknowledged { .. })
            ));
        }
    });
    within_timeout(receive_replies).await.unwrap();
    within_timeout(receive_deliveries).await.unwrap();
    assert_eq!(bus.workers()[0].lag, 0);
}

#[tokio::test(start_paused = true)]
async fn event_is_complete_once_each_reader_acknowledged_it() {
    let mut fixture = Fixture::new();
    assert!(fixture.bus.publish(&batch(vec![event()])));
    // Without a reader it is complete at once.
    fixture.acknowledged().await;

    let mut first_reader = fixture.bus.events();
    let mut second_reader = fixture.bus.events();
    let second_batch = batch(vec![event()]);
    assert!(fixture.bus.publish(&second_batch));

    let mut polled = within_timeout(first_reader.poll(10)).await.unwrap();
    polled.extend(within_timeout(second_reader.poll(10)).await.unwrap());
    assert_eq!(polled.len(), 2);
    assert_eq!(polled[0].0, second_batch.messages[0]);

    polled.pop().unwrap().1.done();
    assert!(fixture.deliveries.try_recv().is_err());
    polled.pop().unwrap().1.done();
    fixture.acknowledged().await;
}

#[tokio::test(start_paused = true)]
async fn b7_command_is_unconsumed_until_polled() {
    let fixture = Fixture::new();
    let batch = commands("pay", 1);
    let decided_at = batch.messages[0].at;
    let unconsumed = |decided_at: Time| {
        let now = batch.messages[0].at;
        fixture
            .bus
            .unconsumed("pay", Uuid::now_v7(), decided_at, now)
    };
    assert!(!unconsumed(decided_at));

    assert!(fixture.bus.publish(&batch));
    assert!(unconsumed(decided_at));
    let earlier = decided_at - MAX_REORDERING;
    assert!(
        unconsumed(earlier),
        "a command decided shortly before may lie behind it"
    );
    assert!(
        !unconsumed(earlier - Duration::from_micros(1)),
        "a command decided long before was polled"
    );

    let polled = within_timeout(fixture.bus.source("pay").poll(1))
        .await
        .unwrap();
    assert!(!unconsumed(decided_at));
    assert_eq!(
        fixture.bus.workers()[0].lag,
        1,
        "the command is not answered"
    );
    drop(polled);
}

#[tokio::test(start_paused = true)]
async fn members_without_recent_heartbeats_are_removed() {
    let fixture = Fixture::new();
    let sink = fixture.bus.sink();
    for member in ["a", "b"] {
        let heartbeat = WorkerHeartbeat {
            worker: "pay".to_owned(),
            member: member.to_owned(),
            at: now(),
            in_flight: 0,
            limit: 8,
            build: "test".to_owned(),
            serves: Vec::new(),
            breakers: Default::default(),
            read: None,
        };
        sink.heartbeat(&heartbeat).await.unwrap();
    }
    assert_eq!(fixture.bus.workers()[0].members.len(), 2);

    sink.leave("a").await.unwrap();
    assert_eq!(fixture.bus.workers()[0].members[0].member, "b");

    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(fixture.bus.workers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn undecodable_command_is_rejected_alone() {
    let mut fixture = Fixture::new();
    let undecodable = OutboxMessage {
        value: Payload::empty(),
        ..command("pay", 1)
    };
    let batch = batch(vec![undecodable, command("pay", 2)]);
    assert!(fixture.bus.publish(&batch));

    let polled = within_timeout(fixture.bus.source("pay").poll(10))
        .await
        .unwrap();
    assert_eq!(attempts(&polled), [2]);
    acknowledge(polled);

    let (_, rejected) = fixture.acknowledged().await;
    assert_eq!(rejected[0].0, 0);
    assert!(rejected[0].1.contains("missing field"), "{}", rejected[0].1);
}
