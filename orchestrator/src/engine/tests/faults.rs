//! What breaks, and what holds through it.

use super::scripted::obedient;
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
    let rig = Rig::new(obedient()).await;
    rig.bus.full.store(true, Ordering::Relaxed);
    let held = rig.start().await;
    assert_eq!(
        rig.bus.commands.lock().expect("no panic").len(),
        0,
        "nothing got through"
    );
    rig.bus.lost.store(true, Ordering::Relaxed);
    rig.bus.full.store(false, Ordering::Relaxed);
    let lost = rig.start().await;
    assert_eq!(
        rig.bus.commands.lock().expect("no panic").len(),
        0,
        "nothing got through"
    );
    rig.bus.lost.store(false, Ordering::Relaxed);
    for id in [held, lost] {
        assert_eq!(rig.until(id, finished).await.status, Status::Completed);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_after_kill_continues_saga() {
    let rig = Rig::new(obedient()).await;
    rig.bus.full.store(true, Ordering::Relaxed);
    let id = rig.start().await;
    // Dropped without a stop: like a killed process, it gives nothing back.
    let Rig { engine, folder, .. } = rig;
    drop(engine);
    let rig = Rig::on(folder, Limits::default(), obedient()).await;
    assert_eq!(rig.until(id, finished).await.status, Status::Completed);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_nul_in_reply_is_removed() {
    let rig = Rig::new(Box::new(|command| {
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
    let id = rig.start().await;
    let saga = rig.until(id, finished).await;
    assert_eq!(saga.status, Status::Compensated);
    rig.end().await;
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
    let rig = Rig::on(folder, limits, obedient()).await;
    let submissions = (0..200).map(|_| {
        let id = Uuid::now_v7();
        rig.engine.start(start_request(id, id.to_string()))
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
            rig.until(saga.id, finished).await.status,
            Status::Completed,
            "what was accepted is carried through"
        );
    }
    rig.end().await;
}

/// Each look that a waiting caller needs fails once: the first, and the one when its time is up.
#[tokio::test(flavor = "multi_thread")]
async fn outage_while_waiting_is_unavailable_not_unknown_saga() {
    let rig = Rig::new(Box::new(|_| vec![])).await;
    let id = rig.start().await;
    let moment = Duration::from_millis(5);
    for answered in [0, 1] {
        rig.db.fail_reads_after(answered);
        let waited = rig.engine.wait_for(id, finished, moment).await;
        assert!(
            matches!(waited, Err(DbError::Unavailable(_))),
            "after {answered} looks: {waited:?}"
        );
    }
    rig.db.fail_reads_after(0);
    let heard = rig.engine.subscribe(id, finished).wait(moment).await;
    assert!(matches!(heard, Err(DbError::Unavailable(_))), "{heard:?}");
    rig.db.fail_reads_after(usize::MAX);
    let stranger = rig.engine.wait_for(Uuid::now_v7(), finished, moment).await;
    assert!(matches!(stranger, Ok(None)), "{stranger:?}");
    assert_eq!(rig.engine.context().subscriptions.count(), 0);
    rig.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_start_committed_with_lost_result_is_answered() {
    let rig = Rig::new(obedient()).await;
    for key in [None, Some("k".to_owned())] {
        let id = Uuid::now_v7();
        rig.db.lose_next_result();
        let answer = rig
            .engine
            .start(start_request(id, key.unwrap_or_else(|| id.to_string())))
            .await;
        assert!(
            matches!(&answer, Ok(StartOutcome::Started(saga)) if saga.id == id),
            "{answer:?}"
        );
    }
    rig.engine.stop().await;
}
