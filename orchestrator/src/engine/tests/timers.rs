//! C5: a timer that one replica relies on and another has claimed.

use super::*;
use saga_core::transition::next_timer_at;
use saga_protocol::Time;
use saga_protocol::message::{Reply, ReplyOutcome};

const LONG: &str = r"
workflow: long
version: 1
steps:
  - name: first
    timeout: 1m
  - name: second
    timeout: 1h
  - name: third
    timeout: 10m
";

impl TestEngine {
    async fn stored_timer(&self, id: Uuid) -> Time {
        let loaded = self.db.load(&[id]).await.expect("answered");
        loaded[0].due_at.expect("it has a timer")
    }

    async fn wait_for_timer_other_than(&self, id: Uuid, than: Time) {
        while self.stored_timer(id).await == than {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Completes the command of that number, from 1.
    async fn complete_command(&self, number: usize) {
        let command = async {
            loop {
                if let Some(command) = self
                    .bus
                    .commands
                    .lock()
                    .expect("lock poisoned")
                    .get(number - 1)
                {
                    return command.clone();
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let command = tokio::time::timeout(TIMEOUT_OF_TEST, command)
            .await
            .expect("it is sent");
        self.bus
            .reply(Reply::new(&command, ReplyOutcome::Completed))
            .await
            .expect("the engine listens");
    }
}

/// Carries a saga to its third step, while another replica finds nothing due at the timer that the first step left
/// behind: its timer, and the deadline of its third step.
async fn timer_and_deadline() -> (Time, Time) {
    let first = TestEngine::new(Box::new(|_| vec![])).await;
    first
        .engine
        .definitions()
        .put(&*first.db, "long.yaml", LONG)
        .await
        .expect("a definition");
    let second = TestEngine::with_limits(
        Arc::clone(&first.folder),
        Limits::default(),
        Box::new(|_| vec![]),
    )
    .await;
    let id = Uuid::now_v7();
    let mut request = start_request(id, id.to_string());
    request.workflow = "long".to_owned();
    first.engine.start(request).await.expect("started");
    first.complete_command(1).await;
    first.wait_for(id, |saga| saga.revision == 2).await;
    let early = first.stored_timer(id).await;
    let router = second.engine.router().expect("it is there");
    router.submit_timer(id).await;
    drop(router);
    tokio::time::timeout(TIMEOUT_OF_TEST, first.wait_for_timer_other_than(id, early))
        .await
        .expect("it is set anew");
    first.complete_command(2).await;
    let saga = first.wait_for(id, |saga| saga.revision == 3).await;
    let timer_at = first.stored_timer(id).await;
    second.engine.stop().await;
    first.engine.stop().await;
    (timer_at, next_timer_at(&saga).expect("it has a timeout"))
}

#[tokio::test]
async fn c5_timer_claimed_by_other_replica_is_set_again() {
    let (timer_at, due) = timer_and_deadline().await;
    assert_eq!(timer_at, due, "the third step's timeout sets it");
}
