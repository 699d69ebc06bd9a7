use super::queues::{MAX_COMMANDS, REDELIVERY_DELAY};
use super::*;
use crate::bus::{Bus, BusChannels, Delivery, IncomingReply, MAX_REORDERING, OutboxBatch};
use saga_protocol::Action;
use saga_protocol::message::{
    Command, CommandInput, Envelope, OutboxMessage, Reply, ReplyOutcome, Topic, WorkerHeartbeat,
};
use saga_protocol::{Payload, Time};
use saga_worker::bus::{CommandSource, ReplySink};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

/// No wait is longer. With time paused it costs nothing.
const LONGEST: Duration = Duration::from_secs(60);

struct Scene {
    bus: Arc<InProcessBus>,
    replies: mpsc::Receiver<IncomingReply>,
    deliveries: mpsc::Receiver<Delivery>,
}

fn scene() -> Scene {
    let (replies, replies_end) = mpsc::channel(4);
    let (deliveries, deliveries_end) = mpsc::channel(4);
    Scene {
        bus: InProcessBus::start(BusChannels {
            replies,
            deliveries,
        }),
        replies: replies_end,
        deliveries: deliveries_end,
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

fn commands(worker: &str, count: usize) -> OutboxBatch {
    let messages: Vec<_> = (1..=count)
        .map(|attempt| command(worker, attempt as u32))
        .collect();
    OutboxBatch {
        id: Uuid::now_v7(),
        messages: messages.into(),
        late: false,
    }
}

fn reply(attempt: u32) -> (Reply, Envelope) {
    let command: Command = command("pay", attempt).value.decode().unwrap();
    (
        Reply::new(&command, ReplyOutcome::Completed),
        Envelope::default(),
    )
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(LONGEST, future).await.expect("it ends in time")
}

fn attempts(delivered: &[saga_worker::bus::CommandDelivery]) -> Vec<u32> {
    delivered
        .iter()
        .map(|delivered| delivered.command.attempt)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn commands_arrive_in_order_and_complete_their_batch() {
    let mut scene = scene();
    let mut source = scene.bus.source("pay");
    let batch = commands("pay", 3);
    assert!(scene.bus.publish(&batch));
    let mut taken = in_time(source.poll(2)).await.unwrap();
    taken.extend(in_time(source.poll(2)).await.unwrap());
    assert_eq!(attempts(&taken), [1, 2, 3]);
    assert_eq!(taken[0].envelope.correlation_id.as_deref(), Some("c-1"));
    let last = taken.pop().unwrap();
    taken.into_iter().for_each(|delivered| delivered.ack.done());
    assert!(scene.deliveries.try_recv().is_err(), "one is still in hand");
    last.ack.done();
    let Some(Delivery::Acknowledged {
        batch: done,
        rejected,
    }) = in_time(scene.deliveries.recv()).await
    else {
        panic!()
    };
    assert_eq!((done.id, rejected.len()), (batch.id, 0));
}

#[tokio::test(start_paused = true)]
async fn d5_dropped_command_is_redelivered() {
    let mut scene = scene();
    let mut source = scene.bus.source("pay");
    assert!(scene.bus.publish(&commands("pay", 2)));
    let mut taken = in_time(source.poll(10)).await.unwrap();
    taken.pop().unwrap().ack.done();
    drop(taken);
    assert_eq!(scene.bus.workers()[0].lag, 1, "it counts all the time");
    let began = tokio::time::Instant::now();
    let again = in_time(source.poll(10)).await.unwrap();
    assert_eq!(attempts(&again), [1]);
    assert!(
        began.elapsed() >= REDELIVERY_DELAY,
        "not at once: it may be dropped again"
    );
    again.into_iter().for_each(|delivered| delivered.ack.done());
    assert!(matches!(
        in_time(scene.deliveries.recv()).await,
        Some(Delivery::Acknowledged { .. })
    ));
    assert_eq!(scene.bus.workers()[0].lag, 0);
}

#[tokio::test(start_paused = true)]
async fn batch_that_fits_no_queue_is_rejected_by_all() {
    let mut scene = scene();
    assert!(scene.bus.publish(&commands("pay", MAX_COMMANDS - 1)));
    let both = OutboxBatch {
        id: Uuid::now_v7(),
        messages: vec![command("store", 1), command("pay", 1), command("pay", 2)].into(),
        late: false,
    };
    assert!(!scene.bus.publish(&both));
    let lags: Vec<_> = scene
        .bus
        .workers()
        .into_iter()
        .map(|worker| (worker.worker, worker.lag))
        .collect();
    assert_eq!(
        lags,
        [("pay".to_owned(), MAX_COMMANDS as u64 - 1)],
        "the store got nothing either"
    );

    let mut source = scene.bus.source("pay");
    let taken = in_time(source.poll(1)).await.unwrap();
    assert!(
        !scene.bus.publish(&both),
        "what is in hand takes its place still"
    );
    taken.into_iter().for_each(|delivered| delivered.ack.done());
    assert!(scene.bus.publish(&both));
    assert!(scene.deliveries.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn batch_larger_than_a_queue_fits_an_empty_one() {
    let scene = scene();
    assert!(scene.bus.publish(&commands("pay", MAX_COMMANDS + 1)));
    assert!(!scene.bus.publish(&commands("pay", 1)));
}

#[tokio::test(start_paused = true)]
async fn d5_reply_is_resent_if_dropped() {
    let mut scene = scene();
    let sink = scene.bus.sink();
    let sending = tokio::spawn(async move { sink.send(vec![reply(1), reply(2)]).await });
    let first = in_time(scene.replies.recv()).await.unwrap();
    drop(in_time(scene.replies.recv()).await.unwrap());
    first.ack.done();
    let again = in_time(scene.replies.recv()).await.unwrap();
    assert_eq!(again.reply.attempt, 2);
    assert!(!sending.is_finished(), "it is not durable yet");
    again.ack.done();
    in_time(sending).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn c4_rejected_reply_is_dead_lettered_alone() {
    let mut scene = scene();
    let sink = scene.bus.sink();
    let sending = tokio::spawn(async move { sink.send(vec![reply(1)]).await });
    in_time(scene.replies.recv())
        .await
        .unwrap()
        .ack
        .reject("a NUL");
    in_time(sending).await.unwrap().unwrap();
    let letters = scene.bus.dead_letters();
    assert_eq!((letters.len(), letters[0].reason.as_str()), (1, "a NUL"));
    assert_eq!(
        serde_json::from_slice::<Reply>(letters[0].value.as_deref().unwrap())
            .unwrap()
            .attempt,
        1
    );
}

#[tokio::test(start_paused = true)]
async fn closed_bus_ends_senders_and_sources() {
    let scene = scene();
    let sink = scene.bus.sink();
    let mut source = scene.bus.source("pay");
    let sending = tokio::spawn(async move { sink.send(vec![reply(1)]).await });
    let taking = tokio::spawn(async move { source.poll(1).await.is_none() });
    tokio::task::yield_now().await;
    scene.bus.close().await;
    assert!(in_time(sending).await.unwrap().is_err());
    assert!(in_time(taking).await.unwrap());
    assert!(!scene.bus.publish(&commands("pay", 1)));
}

/// Workers answer faster than the engine takes, through channels with room for four, while the engine publishes without
/// ever waiting.
#[tokio::test(flavor = "multi_thread")]
async fn d5_full_channels_never_deadlock() {
    const BATCHES: usize = 200;
    let Scene {
        bus,
        mut replies,
        mut deliveries,
    } = scene();
    for _ in 0..3 {
        let (mut source, sink) = (bus.source("pay"), bus.sink());
        tokio::spawn(async move {
            while let Some(taken) = source.poll(7).await {
                let answers = taken.iter().map(|d| {
                    (
                        Reply::new(&d.command, ReplyOutcome::Completed),
                        d.envelope.clone(),
                    )
                });
                sink.send(answers.collect()).await.unwrap();
                taken.into_iter().for_each(|delivered| delivered.ack.done());
            }
        });
    }
    let publisher = Arc::clone(&bus);
    tokio::spawn(async move {
        for _ in 0..BATCHES {
            let batch = commands("pay", 50);
            while !publisher.publish(&batch) {
                tokio::task::yield_now().await;
            }
        }
    });
    let engine = tokio::spawn(async move {
        for _ in 0..BATCHES * 50 {
            replies.recv().await.unwrap().ack.done();
        }
    });
    let reports = tokio::spawn(async move {
        for _ in 0..BATCHES {
            assert!(matches!(
                deliveries.recv().await,
                Some(Delivery::Acknowledged { .. })
            ));
        }
    });
    in_time(engine).await.unwrap();
    in_time(reports).await.unwrap();
    assert_eq!(bus.workers()[0].lag, 0);
}

#[tokio::test(start_paused = true)]
async fn events_are_acknowledged_by_each_reader() {
    let mut scene = scene();
    let batch = |message: OutboxMessage| OutboxBatch {
        id: Uuid::now_v7(),
        messages: vec![message].into(),
        late: false,
    };
    assert!(scene.bus.publish(&batch(event())));
    assert!(matches!(
        in_time(scene.deliveries.recv()).await,
        Some(Delivery::Acknowledged { .. })
    ));

    let (mut one, mut two) = (scene.bus.events(), scene.bus.events());
    let later = batch(event());
    assert!(scene.bus.publish(&later));
    let mut seen = in_time(one.poll(10)).await.unwrap();
    seen.extend(in_time(two.poll(10)).await.unwrap());
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].0, later.messages[0]);
    seen.pop().unwrap().1.done();
    assert!(scene.deliveries.try_recv().is_err());
    seen.pop().unwrap().1.done();
    assert!(matches!(
        in_time(scene.deliveries.recv()).await,
        Some(Delivery::Acknowledged { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn b7_command_is_unconsumed_until_polled() {
    let scene = scene();
    let batch = commands("pay", 1);
    let (saga, decided_at) = (Uuid::now_v7(), batch.messages[0].at);
    assert!(!scene.bus.unconsumed("pay", saga, decided_at, decided_at));
    assert!(scene.bus.publish(&batch));
    assert!(scene.bus.unconsumed("pay", saga, decided_at, decided_at));
    let earlier = decided_at - MAX_REORDERING;
    assert!(
        scene.bus.unconsumed("pay", saga, earlier, decided_at),
        "what was decided shortly before may lie behind it"
    );
    let long_ago = earlier - Duration::from_micros(1);
    assert!(
        !scene.bus.unconsumed("pay", saga, long_ago, decided_at),
        "what was decided long before the oldest has been taken"
    );
    let taken = in_time(scene.bus.source("pay").poll(1)).await.unwrap();
    assert!(!scene.bus.unconsumed("pay", saga, decided_at, decided_at));
    assert_eq!(scene.bus.workers()[0].lag, 1, "and it is not answered yet");
    drop(taken);
}

#[tokio::test(start_paused = true)]
async fn members_are_those_with_recent_heartbeats() {
    let scene = scene();
    let sink = scene.bus.sink();
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
    assert_eq!(scene.bus.workers()[0].members.len(), 2);
    sink.leave("a").await.unwrap();
    assert_eq!(scene.bus.workers()[0].members[0].member, "b");
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(scene.bus.workers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn undecodable_command_is_rejected_alone() {
    let mut scene = scene();
    let broken = OutboxMessage {
        value: Payload::empty(),
        ..command("pay", 1)
    };
    let batch = OutboxBatch {
        id: Uuid::now_v7(),
        messages: vec![broken, command("pay", 2)].into(),
        late: false,
    };
    assert!(scene.bus.publish(&batch));
    let taken = in_time(scene.bus.source("pay").poll(10)).await.unwrap();
    assert_eq!(attempts(&taken), [2]);
    taken.into_iter().for_each(|delivered| delivered.ack.done());
    let Some(Delivery::Acknowledged { rejected, .. }) = in_time(scene.deliveries.recv()).await
    else {
        panic!()
    };
    assert_eq!(rejected[0].0, 0);
    assert!(rejected[0].1.contains("missing field"), "{}", rejected[0].1);
}
