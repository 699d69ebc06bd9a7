//! Faults of the bus and the database.

use super::scripted_bus::complete_all;
use super::*;
use crate::db::DbError;
use saga_core::saga::Status;
use saga_protocol::message::{Reply, ReplyOutcome};
use saga_protocol::{Action, Failure};
use std::sync::atomic::Ordering;

fn finished(saga: &Saga) -> bool {
    saga.status.is_finished()
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_unaccepted_or_lost_batch_is_published_again() {
    let test = TestEngine::new(complete_all()).await;
    test.bus.rejects_batches.store(true, Ordering::Relaxed);
    let held = test.start().await;
    assert_eq!(
        test.bus.commands.lock().expect("lock poisoned").len(),
        0,
        "nothing got through"
    );
    test.bus.loses_batches.store(true, Ordering::Relaxed);
    test.bus.rejects_batches.store(false, Ordering::Relaxed);
    let lost = test.start().await;
    assert_eq!(
        test.bus.commands.lock().expect("lock poisoned").len(),
        0,
        "nothing got through"
    );
    test.bus.loses_batches.store(false, Ordering::Relaxed);
    for id in [held, lost] {
        assert_eq!(test.wait_for(id, finished).await.status, Status::Completed);
    }
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_after_kill_continues_saga() {
    let test = TestEngine::new(complete_all()).await;
    test.bus.rejects_batches.store(true, Ordering::Relaxed);
    let id = test.start().await;
    // Dropped without a stop: like a killed process, it gives nothing back.
    let TestEngine { engine, folder, .. } = test;
    drop(engine);
    let test = TestEngine::with_limits(folder, Limits::default(), complete_all()).await;
    assert_eq!(test.wait_for(id, finished).await.status, Status::Completed);
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_nul_in_reply_is_removed() {
    let test = TestEngine::new(Box::new(|command| {
        let mut reply = Reply::new(command, ReplyOutcome::Failed);
        reply.error = Some(Failure {
            code: "nul\0".to_owned(),
            message: "a\0b".to_owned(),
            retryable: false,
        });
        if command.step == "second" && command.action == Action::Execute {
            vec![reply]
        } else {
            vec![Reply::new(command, ReplyOutcome::Completed)]
        }
    }))
    .await;
    let id = test.start().await;
    let saga = test.wait_for(id, finished).await;
    assert_eq!(saga.status, Status::Compensated);
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_rejects_only_starts() {
    let limits = Limits {
        max_queued_starts: 1,
        shards: 1,
        max_batch: 1,
        ..Limits::default()
    };
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let test = TestEngine::with_limits(folder, limits, complete_all()).await;
    let submissions = (0..200).map(|_| {
        let id = Uuid::now_v7();
        test.engine.start(start_request(id, id.to_string()))
    });
    let answers = futures::future::join_all(submissions).await;
    let refused = answers
        .iter()
        .filter(|answer| {
            matches!(
                answer,
                Err(StartError::Submit(SubmitError::Overloaded { .. }))
            )
        })
        .count();
    assert!(refused > 0, "the fault must happen");
    for answer in answers.into_iter().flatten() {
        let StartOutcome::Started(saga) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(
            test.wait_for(saga.id, finished).await.status,
            Status::Completed,
            "what was accepted is carried through"
        );
    }
    test.shutdown().await;
}

/// Each read of a waiting caller fails once: the first, and the one after its timeout.
#[tokio::test(flavor = "multi_thread")]
async fn outage_while_waiting_is_unavailable_not_unknown_saga() {
    let test = TestEngine::new(Box::new(|_| vec![])).await;
    let id = test.start().await;
    let moment = Duration::from_millis(5);
    for answered in [0, 1] {
        test.db.fail_reads_after(answered);
        let waited = test.engine.wait_for(id, finished, moment).await;
        assert!(
            matches!(waited, Err(DbError::Unavailable(_))),
            "after {answered} looks: {waited:?}"
        );
    }
    test.db.fail_reads_after(0);
    let heard = test.engine.subscribe(id, finished).wait(moment).await;
    assert!(matches!(heard, Err(DbError::Unavailable(_))), "{heard:?}");
    test.db.fail_reads_after(usize::MAX);
    let stranger = test.engine.wait_for(Uuid::now_v7(), finished, moment).await;
    assert!(matches!(stranger, Ok(None)), "{stranger:?}");
    assert_eq!(test.engine.context().subscriptions.count(), 0);
    test.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_start_committed_with_lost_result_is_answered() {
    let test = TestEngine::new(complete_all()).await;
    for key in [None, Some("k".to_owned())] {
        let id = Uuid::now_v7();
        test.db.lose_next_result();
        let answer = test
            .engine
            .start(start_request(id, key.unwrap_or_else(|| id.to_string())))
            .await;
        assert!(
            matches!(&answer, Ok(StartOutcome::Started(saga)) if saga.id == id),
            "{answer:?}"
        );
    }
    test.engine.stop().await;
}
