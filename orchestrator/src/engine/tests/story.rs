//! What a saga lives through, in and out of the engine.

use super::scripted::obedient;
use super::*;
use saga_core::saga::Status;
use saga_protocol::message::{Reply, ReplyOutcome};
use saga_protocol::{Action, Failure};
use std::sync::atomic::Ordering;

fn finished(saga: &Saga) -> bool {
    saga.status.is_finished()
}

#[tokio::test(flavor = "multi_thread")]
async fn saga_completes_and_history_replays_to_its_state() {
    let rig = Rig::new(obedient()).await;
    let id = rig.start().await;
    let saga = rig.until(id, finished).await;
    assert_eq!((saga.status, saga.revision), (Status::Completed, 4));
    let history = rig
        .db
        .history(id, None, 100)
        .await
        .expect("answered")
        .entries;
    assert_eq!(
        history
            .iter()
            .map(|entry| entry.revision)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_compensates_in_reverse_order() {
    // The third step keeps silent, so that the cancel finds two done and one out.
    let rig = Rig::new(Box::new(|command| {
        let silent = command.step == "third" && command.action == Action::Execute;
        if silent {
            vec![]
        } else {
            vec![Reply::new(command, ReplyOutcome::Completed)]
        }
    }))
    .await;
    let id = rig.start().await;
    rig.until(id, |saga| saga.steps[2].execute.attempt == 1)
        .await;
    assert!(matches!(rig.cancel(id).await, Ok(ApplyOutcome::Applied(_))));
    let saga = rig.until(id, finished).await;
    assert_eq!(saga.status, Status::Compensated);
    let commands = rig.bus.commands.lock().expect("no panic").clone();
    let back: Vec<_> = commands
        .iter()
        .filter(|c| c.action == Action::Compensate)
        .map(|c| c.step.as_str())
        .collect();
    assert_eq!(back, ["third", "second", "first"]);
    assert!(
        matches!(rig.cancel(id).await, Ok(ApplyOutcome::Ignored(_, _))),
        "a second cancel changes nothing"
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timeout_of_silent_worker_compensates_saga() {
    let rig = Rig::new(Box::new(|command| {
        let silent = command.step == "third" && command.action == Action::Execute;
        if silent {
            vec![]
        } else {
            vec![Reply::new(command, ReplyOutcome::Completed)]
        }
    }))
    .await;
    let id = rig.start().await;
    let saga = rig.until(id, finished).await;
    assert_eq!(saga.status, Status::Compensated);
    assert_eq!(
        saga.steps[2]
            .execute
            .error
            .as_ref()
            .map(|error| error.code.as_str()),
        Some("timed_out")
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_attempt_is_retried() {
    let rig = Rig::new(Box::new(|command| {
        let fails = command.step == "first" && command.attempt < 3;
        let mut reply = Reply::new(
            command,
            if fails {
                ReplyOutcome::Failed
            } else {
                ReplyOutcome::Completed
            },
        );
        reply.error = fails.then(|| Failure::retryable("busy", "come again"));
        vec![reply]
    }))
    .await;
    let id = rig.start().await;
    let saga = rig.until(id, finished).await;
    assert_eq!(
        (saga.status, saga.steps[0].execute.attempt),
        (Status::Completed, 3)
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_failed_compensation_parks_and_retry_continues() {
    let rig = Rig::new(Box::new(|command| {
        let never = command.step == "third" && command.action == Action::Execute;
        let stuck = command.step == "second"
            && command.action == Action::Compensate
            && command.attempt <= 2;
        let mut reply = Reply::new(
            command,
            if never || stuck {
                ReplyOutcome::Failed
            } else {
                ReplyOutcome::Completed
            },
        );
        reply.error = never
            .then(|| Failure::permanent("no", "never"))
            .or(stuck.then(|| Failure::retryable("down", "later")));
        vec![reply]
    }))
    .await;
    let id = rig.start().await;
    rig.until(id, |saga| saga.status == Status::Parked).await;
    assert!(matches!(
        rig.apply(id, Input::Retry(reason())).await,
        Ok(ApplyOutcome::Applied(_))
    ));
    let saga = rig.until(id, finished).await;
    assert_eq!(saga.status, Status::Compensated);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_business_key_starts_once_and_replies_are_acked() {
    let rig = Rig::new(obedient()).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let starts = futures::future::join(
        rig.engine.start(start_request(first, "k".to_owned())),
        rig.engine.start(start_request(second, "k".to_owned())),
    )
    .await;
    let taken = |answer: &Result<StartOutcome, StartError>| {
        matches!(answer, Err(StartError::KeyTaken { .. }))
    };
    assert!(
        taken(&starts.0) != taken(&starts.1),
        "exactly one of them: {starts:?}"
    );
    let winner = if taken(&starts.0) { second } else { first };
    rig.until(winner, finished).await;
    let acks = Arc::clone(&rig.bus.acks);
    rig.end().await;
    assert_eq!(acks.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_concurrent_sagas_complete() {
    let rig = Rig::new(obedient()).await;
    let ids = futures::future::join_all((0..300).map(|_| rig.start())).await;
    for id in ids {
        assert_eq!(rig.until(id, finished).await.status, Status::Completed);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscription_ends_after_answer_or_timeout() {
    let rig = Rig::new(Box::new(|_| vec![])).await;
    let id = rig.start().await;
    let there = rig.engine.wait_for(id, |_| true, SOON).await;
    assert!(there.is_ok_and(|saga| saga.is_some()));
    let not_yet = rig
        .engine
        .wait_for(id, finished, std::time::Duration::from_millis(20))
        .await;
    assert!(
        not_yet.is_ok_and(|saga| saga.is_some_and(|saga| !saga.status.is_finished())),
        "as last seen"
    );
    assert_eq!(rig.engine.context().subscriptions.count(), 0);
    rig.engine.stop().await;
}
