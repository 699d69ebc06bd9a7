//! The life of a saga.

use super::scripted_bus::complete_all;
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
    let test = TestEngine::new(complete_all()).await;
    let id = test.start().await;
    let saga = test.wait_for(id, finished).await;
    assert_eq!((saga.status, saga.revision), (Status::Completed, 4));
    let history = test
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
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_compensates_in_reverse_order() {
    // The third step keeps silent, so that the cancel finds two done and one out.
    let test = TestEngine::new(Box::new(|command| {
        let silent = command.step == "third" && command.action == Action::Execute;
        if silent {
            vec![]
        } else {
            vec![Reply::new(command, ReplyOutcome::Completed)]
        }
    }))
    .await;
    let id = test.start().await;
    test.wait_for(id, |saga| saga.steps[2].execute.attempt == 1)
        .await;
    assert!(matches!(
        test.cancel(id).await,
        Ok(ApplyOutcome::Applied(_))
    ));
    let saga = test.wait_for(id, finished).await;
    assert_eq!(saga.status, Status::Compensated);
    let commands = test.bus.commands.lock().expect("lock poisoned").clone();
    let back: Vec<_> = commands
        .iter()
        .filter(|c| c.action == Action::Compensate)
        .map(|c| c.step.as_str())
        .collect();
    assert_eq!(back, ["third", "second", "first"]);
    assert!(
        matches!(test.cancel(id).await, Ok(ApplyOutcome::Ignored(_, _))),
        "a second cancel changes nothing"
    );
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timeout_of_silent_worker_compensates_saga() {
    let test = TestEngine::new(Box::new(|command| {
        let silent = command.step == "third" && command.action == Action::Execute;
        if silent {
            vec![]
        } else {
            vec![Reply::new(command, ReplyOutcome::Completed)]
        }
    }))
    .await;
    let id = test.start().await;
    let saga = test.wait_for(id, finished).await;
    assert_eq!(saga.status, Status::Compensated);
    assert_eq!(
        saga.steps[2]
            .execute
            .error
            .as_ref()
            .map(|error| error.code.as_str()),
        Some("timed_out")
    );
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_attempt_is_retried() {
    let test = TestEngine::new(Box::new(|command| {
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
    let id = test.start().await;
    let saga = test.wait_for(id, finished).await;
    assert_eq!(
        (saga.status, saga.steps[0].execute.attempt),
        (Status::Completed, 3)
    );
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_failed_compensation_parks_and_retry_continues() {
    let test = TestEngine::new(Box::new(|command| {
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
    let id = test.start().await;
    test.wait_for(id, |saga| saga.status == Status::Parked)
        .await;
    assert!(matches!(
        test.apply(id, Input::Retry(reason())).await,
        Ok(ApplyOutcome::Applied(_))
    ));
    let saga = test.wait_for(id, finished).await;
    assert_eq!(saga.status, Status::Compensated);
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_business_key_starts_once_and_replies_are_acked() {
    let test = TestEngine::new(complete_all()).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let starts = futures::future::join(
        test.engine.start(start_request(first, "k".to_owned())),
        test.engine.start(start_request(second, "k".to_owned())),
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
    test.wait_for(winner, finished).await;
    let acks = Arc::clone(&test.bus.acks);
    test.shutdown().await;
    assert_eq!(acks.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_concurrent_sagas_complete() {
    let test = TestEngine::new(complete_all()).await;
    let ids = futures::future::join_all((0..300).map(|_| test.start())).await;
    for id in ids {
        assert_eq!(test.wait_for(id, finished).await.status, Status::Completed);
    }
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscription_ends_after_answer_or_timeout() {
    let test = TestEngine::new(Box::new(|_| vec![])).await;
    let id = test.start().await;
    let stored = test.engine.wait_for(id, |_| true, TIMEOUT_OF_TEST).await;
    assert!(stored.is_ok_and(|saga| saga.is_some()));
    let not_yet = test
        .engine
        .wait_for(id, finished, std::time::Duration::from_millis(20))
        .await;
    assert!(
        not_yet.is_ok_and(|saga| saga.is_some_and(|saga| !saga.status.is_finished())),
        "as last seen"
    );
    assert_eq!(test.engine.context().subscriptions.count(), 0);
    test.engine.stop().await;
}
