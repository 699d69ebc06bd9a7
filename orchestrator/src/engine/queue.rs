//! The input queues of a shard (rule D3).
//!
//! There are three, all bounded: operator inputs (cancel, pause, …), worker inputs (replies and timers), and starts. Each
//! has a guaranteed share of a batch, so that a flood of one kind never starves another. What one queue leaves of its
//! share the others may use.

use super::handle::{
    ApplyError, ApplyOutcome, IdempotencyKey, StartError, StartOutcome, SubmitError,
};
use super::limits::Limits;
use crate::bus::Ack;
use saga_core::definition::Definition;
use saga_core::transition::Input;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use uuid::Uuid;

pub type StartResult = Result<StartOutcome, StartError>;
pub type ApplyResult = Result<ApplyOutcome, ApplyError>;

/// The result of one input of a batch.
#[derive(Debug)]
pub enum InputResult {
    Start(StartResult),
    Apply(ApplyResult),
}

/// One input on its way through a shard.
pub struct QueuedInput {
    pub request: InputRequest,
    pub responder: Responder,
}

pub struct InputRequest {
    pub saga_id: Uuid,
    pub input: Input,
    pub kind: InputKind,
}

/// What an input needs beside its content.
pub enum InputKind {
    /// The input is `Input::Start`.
    Start(StartOptions),
    Apply {
        if_revision: Option<u64>,
    },
}

pub struct StartOptions {
    pub definition: Arc<Definition>,
    pub idempotency_key: Option<IdempotencyKey>,
}

/// Where the result of an input is delivered once its batch is committed. A dropped responder tells its peer that the
/// input was not processed.
pub enum Responder {
    Start(oneshot::Sender<StartResult>),
    Apply(oneshot::Sender<ApplyResult>),
    /// The record is acknowledged; if dropped it is delivered again.
    Ack(Ack),
    /// Nowhere: a lost timer fires again.
    None,
}

impl QueuedInput {
    /// An input for an existing saga, at whatever revision it is.
    pub fn new(saga_id: Uuid, input: Input, responder: Responder) -> Self {
        let kind = InputKind::Apply { if_revision: None };
        Self {
            request: InputRequest {
                saga_id,
                input,
                kind,
            },
            responder,
        }
    }
}

impl InputRequest {
    /// The options of a start, `None` for any other input.
    pub fn start_options(&self) -> Option<&StartOptions> {
        match &self.kind {
            InputKind::Start(options) => Some(options),
            InputKind::Apply { .. } => None,
        }
    }
}

impl Responder {
    /// Delivers the result of a committed input.
    pub fn respond(self, result: InputResult) {
        // A caller that no longer listens is not an error: the input is durable all the same.
        match (self, result) {
            (Self::Start(caller), InputResult::Start(result)) => _ = caller.send(result),
            (Self::Apply(caller), InputResult::Apply(result)) => _ = caller.send(result),
            (Self::Ack(ack), _) => ack.done(),
            (Self::None, _) => {}
            (Self::Start(_) | Self::Apply(_), _) => {
                unreachable!("a request and its result have the same kind")
            }
        }
    }

    /// Reports that the database rejected the input's content. A record goes to the dead letters, so that the records
    /// behind it can be processed (rule C4).
    pub fn reject(self, error: &str) {
        let not_storable = || SubmitError::NotStorable(error.to_owned());
        match self {
            Self::Start(caller) => _ = caller.send(Err(not_storable().into())),
            Self::Apply(caller) => _ = caller.send(Err(not_storable().into())),
            Self::Ack(ack) => {
                metrics::counter!("saga_dead_letters_total", "reason" => "refused").increment(1);
                ack.reject(error);
            }
            Self::None => {}
        }
    }
}

/// The senders of a shard's queues.
pub struct QueueSenders {
    pub operator: mpsc::Sender<QueuedInput>,
    pub worker: mpsc::Sender<QueuedInput>,
    pub starts: mpsc::Sender<QueuedInput>,
}

/// The receivers of a shard's queues.
pub struct QueueReceivers {
    operator: mpsc::Receiver<QueuedInput>,
    worker: mpsc::Receiver<QueuedInput>,
    starts: mpsc::Receiver<QueuedInput>,
}

/// Creates the queues of one shard.
pub fn shard_queues(limits: &Limits) -> (QueueSenders, QueueReceivers) {
    let (operator, operator_receiver) = mpsc::channel(limits.max_queued_operator_inputs);
    let (worker, worker_receiver) = mpsc::channel(limits.max_queued_worker_inputs);
    let (starts, starts_receiver) = mpsc::channel(limits.max_queued_starts);

    let senders = QueueSenders {
        operator,
        worker,
        starts,
    };
    let receivers = QueueReceivers {
        operator: operator_receiver,
        worker: worker_receiver,
        starts: starts_receiver,
    };
    (senders, receivers)
}

impl QueueReceivers {
    /// Waits for the first input and for a write permit, then drains what has queued up meanwhile. A lone input does not
    /// wait for others. Returns `None` once all senders are dropped and the queues are empty.
    pub async fn next_batch<'p>(
        &mut self,
        max_batch: usize,
        write_permits: &'p Semaphore,
    ) -> Option<(Vec<QueuedInput>, SemaphorePermit<'p>)> {
        // Biased: under load an operator's input is the first of its batch, and a start is never before a reply.
        let first = tokio::select! {
            biased;
            Some(input) = self.operator.recv() => input,
            Some(input) = self.worker.recv() => input,
            Some(input) = self.starts.recv() => input,
            else => return None,
        };

        // The permit comes before the drain: what arrives while other shards write belongs to this batch.
        let permit = write_permits
            .acquire()
            .await
            .expect("the semaphore is never closed");

        let mut inputs = vec![first];
        // Shares of a batch: a fifth, a half, the rest.
        let shares = [
            max_batch / 5,
            max_batch / 2,
            max_batch - max_batch / 5 - max_batch / 2,
        ];
        for (queue, share) in self.by_priority().into_iter().zip(shares) {
            drain(queue, &mut inputs, share);
        }
        for queue in self.by_priority() {
            let capacity = max_batch.saturating_sub(inputs.len());
            drain(queue, &mut inputs, capacity);
        }

        Some((inputs, permit))
    }

    fn by_priority(&mut self) -> [&mut mpsc::Receiver<QueuedInput>; 3] {
        [&mut self.operator, &mut self.worker, &mut self.starts]
    }
}

fn drain(queue: &mut mpsc::Receiver<QueuedInput>, inputs: &mut Vec<QueuedInput>, limit: usize) {
    for _ in 0..limit {
        match queue.try_recv() {
            Ok(input) => inputs.push(input),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_core::transition::input::Timer;

    fn queued_input() -> QueuedInput {
        QueuedInput::new(
            Uuid::now_v7(),
            Input::Timer(Timer::default()),
            Responder::None,
        )
    }

    fn send(queue: &mpsc::Sender<QueuedInput>) {
        assert!(
            queue.try_send(queued_input()).is_ok(),
            "the queue is not full"
        );
    }

    #[tokio::test]
    async fn input_during_permit_wait_joins_batch() {
        let (senders, mut receivers) = shard_queues(&Limits::default());
        let write_permits = Semaphore::new(1);
        let permit_of_other_shard = write_permits.try_acquire().expect("a free permit");
        send(&senders.worker);
        let batch = receivers.next_batch(50, &write_permits);
        tokio::pin!(batch);
        assert!(
            futures::poll!(&mut batch).is_pending(),
            "no permit is free yet"
        );

        send(&senders.worker);
        drop(permit_of_other_shard);

        let (inputs, _permit) = batch.await.expect("a batch");
        assert_eq!(inputs.len(), 2);
    }

    #[tokio::test]
    async fn d3_queue_has_share_of_batch_and_uses_rest() {
        let limits = Limits {
            max_queued_operator_inputs: 100,
            max_queued_worker_inputs: 100,
            max_queued_starts: 100,
            ..Limits::default()
        };
        let (senders, mut receivers) = shard_queues(&limits);
        for _ in 0..100 {
            send(&senders.starts);
            send(&senders.worker);
        }
        send(&senders.operator);
        let write_permits = Semaphore::new(1);

        let (inputs, permit) = receivers
            .next_batch(50, &write_permits)
            .await
            .expect("a batch");

        assert_eq!(inputs.len(), 50);
        assert_eq!(
            (receivers.operator.len(), receivers.starts.len()),
            (0, 85),
            "the starts' share is 15"
        );

        drop((senders, permit));
        let mut rest = 0;
        while let Some((inputs, _permit)) = receivers.next_batch(50, &write_permits).await {
            rest += inputs.len();
        }
        assert_eq!(rest, 151, "closed queues are drained");
    }
}
