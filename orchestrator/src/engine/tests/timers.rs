//! C5: two replicas, and a timer that one of them counts on and the other has taken.

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

impl Rig {
    async fn stored_timer(&self, id: Uuid) -> Time {
        let loaded = self.db.load(&[id]).await.expect("answered");
        loaded[0].due_at.expect("it has a timer")
    }

    async fn until_woken_otherwise(&self, id: Uuid, than: Time) {
        while self.stored_timer(id).await == than {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The command of that number, from 1, is done.
    async fn does(&self, number: usize) {
        let command = async {
            loop {
                if let Some(command) = self.bus.commands.lock().expect("no panic").get(number - 1) {
                    return command.clone();
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let command = tokio::time::timeout(SOON, command)
            .await
            .expect("it is sent");
        self.bus
            .say(Reply::new(&command, ReplyOutcome::Completed))
            .await
            .expect("the engine listens");
    }
}

/// Carries a saga to its third step, while another replica finds nothing due at the timer that the first step left
/// behind: when it is woken, and when something comes due.
async fn woken_and_due() -> (Time, Time) {
    let here = Rig::new(Box::new(|_| vec![])).await;
    here.engine
        .definitions()
        .put(&*here.db, "long.yaml", LONG)
        .await
        .expect("a definition");
    let there = Rig::on(
        Arc::clone(&here.folder),
        Limits::default(),
        Box::new(|_| vec![]),
    )
    .await;
    let id = Uuid::now_v7();
    let mut request = start_request(id, id.to_string());
    request.workflow = "long".to_owned();
    here.engine.start(request).await.expect("started");
    here.does(1).await;
    here.until(id, |saga| saga.revision == 2).await;
    let early = here.stored_timer(id).await;
    let router = there.engine.router().expect("it is there");
    router.submit_timer(id).await;
    drop(router);
    tokio::time::timeout(SOON, here.until_woken_otherwise(id, early))
        .await
        .expect("it is set anew");
    here.does(2).await;
    let saga = here.until(id, |saga| saga.revision == 3).await;
    let woken = here.stored_timer(id).await;
    there.engine.stop().await;
    here.engine.stop().await;
    (woken, next_timer_at(&saga).expect("it has a timeout"))
}

#[tokio::test]
async fn c5_timer_claimed_by_other_replica_is_set_again() {
    let (woken, due) = woken_and_due().await;
    assert_eq!(woken, due, "the third step's timeout wakes it");
}
