//! Three bounded queues a shard (rule D3): cancels and operators; replies and timers; starts. Each has a guaranteed
//! share of a batch, so that a flood of one kind never starves another; what one leaves over the others take.

use super::Item;
use crate::engine::limits::Limits;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

/// The ends to put in.
pub struct Queues {
    pub urgent: mpsc::Sender<Item>,
    pub replies: mpsc::Sender<Item>,
    pub starts: mpsc::Sender<Item>,
}

/// The ends to take from.
pub struct Receivers {
    urgent: mpsc::Receiver<Item>,
    replies: mpsc::Receiver<Item>,
    starts: mpsc::Receiver<Item>,
}

/// The three queues of a shard.
pub fn queues(limits: &Limits) -> (Queues, Receivers) {
    let (urgent, urgent_end) = mpsc::channel(limits.urgent);
    let (replies, replies_end) = mpsc::channel(limits.replies);
    let (starts, starts_end) = mpsc::channel(limits.starts);
    let receivers = Receivers {
        urgent: urgent_end,
        replies: replies_end,
        starts: starts_end,
    };
    (
        Queues {
            urgent,
            replies,
            starts,
        },
        receivers,
    )
}

impl Receivers {
    /// Waits for the first input, then for its turn, and takes what is there by then; a lone input does not wait.
    /// `None`: all senders are gone.
    pub async fn gather<'t>(
        &mut self,
        most: usize,
        turns: &'t Semaphore,
    ) -> Option<(Vec<Item>, SemaphorePermit<'t>)> {
        let first = tokio::select! {
            biased;
            Some(item) = self.urgent.recv() => item,
            Some(item) = self.replies.recv() => item,
            Some(item) = self.starts.recv() => item,
            else => return None,
        };
        let turn = turns.acquire().await.expect("nobody closes it");
        let mut items = vec![first];
        // Shares of a batch: a fifth, a half, the rest.
        let shares = [most / 5, most / 2, most - most / 5 - most / 2];
        for (queue, share) in [&mut self.urgent, &mut self.replies, &mut self.starts]
            .into_iter()
            .zip(shares)
        {
            take(queue, &mut items, share);
        }
        for queue in [&mut self.urgent, &mut self.replies, &mut self.starts] {
            let left = most.saturating_sub(items.len());
            take(queue, &mut items, left);
        }
        Some((items, turn))
    }
}

fn take(queue: &mut mpsc::Receiver<Item>, items: &mut Vec<Item>, most: usize) {
    for _ in 0..most {
        match queue.try_recv() {
            Ok(item) => items.push(item),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Done;
    use super::*;
    use saga_core::transition::Input;
    use saga_core::transition::input::Timer;
    use uuid::Uuid;

    fn item() -> Item {
        Item::new(Uuid::now_v7(), Input::Timer(Timer::default()), Done::Nobody)
    }

    #[tokio::test]
    async fn what_comes_while_a_shard_waits_for_its_turn_is_in_its_batch() {
        let (queues, mut receivers) = queues(&Limits::default());
        let turns = Semaphore::new(1);
        let of_another = turns.try_acquire().expect("it is free");
        assert!(queues.replies.try_send(item()).is_ok(), "there is room");
        let gathering = receivers.gather(50, &turns);
        tokio::pin!(gathering);
        assert!(
            futures::poll!(&mut gathering).is_pending(),
            "it is not this shard's turn"
        );
        assert!(queues.replies.try_send(item()).is_ok(), "there is room");
        drop(of_another);
        let (items, _turn) = gathering.await.expect("there are inputs");
        assert_eq!(items.len(), 2);
    }

    #[tokio::test]
    async fn d3_each_queue_has_its_share_of_a_batch_and_takes_what_others_leave() {
        let limits = Limits {
            urgent: 100,
            replies: 100,
            starts: 100,
            ..Limits::default()
        };
        let (queues, mut receivers) = queues(&limits);
        for _ in 0..100 {
            assert!(queues.starts.try_send(item()).is_ok(), "there is room");
            assert!(queues.replies.try_send(item()).is_ok(), "there is room");
        }
        assert!(queues.urgent.try_send(item()).is_ok(), "there is room");
        let turns = Semaphore::new(1);
        let (items, turn) = receivers
            .gather(50, &turns)
            .await
            .expect("there are inputs");
        assert_eq!(items.len(), 50);
        assert_eq!(
            (receivers.urgent.len(), receivers.starts.len()),
            (0, 85),
            "starts had their share of 15"
        );
        drop((queues, turn));
        let mut rest = 0;
        while let Some((items, _turn)) = receivers.gather(50, &turns).await {
            rest += items.len();
        }
        assert_eq!(rest, 151, "nothing is lost when the senders leave");
    }
}
