//! What breaks, and what holds through it.

use super::scripted::obedient;
use super::*;
use std::sync::atomic::Ordering;
use workflows::message::{Action, Failure, Outcome, Reply};
use workflows::saga::Status;

fn finished(saga: &Saga) -> bool {
    saga.status.finished()
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_what_finds_no_room_or_is_lost_is_published_again_from_the_outbox() {
    let rig = Rig::new(obedient()).await;
    rig.bus.full.store(true, Ordering::Relaxed);
    let held = rig.start().await;
    assert_eq!(rig.bus.commands.lock().expect("no panic").len(), 0, "nothing got through");
    rig.bus.lost.store(true, Ordering::Relaxed);
    rig.bus.full.store(false, Ordering::Relaxed);
    let lost = rig.start().await;
    assert_eq!(rig.bus.commands.lock().expect("no panic").len(), 0, "nothing got through");
    rig.bus.lost.store(false, Ordering::Relaxed);
    for id in [held, lost] {
        assert_eq!(rig.until(id, finished).await.status, Status::Completed);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_is_nothing_but_the_loops_starting_again() {
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
async fn c4_a_nul_in_a_reply_is_cut_out_and_holds_up_nothing() {
    let rig = Rig::new(Box::new(|command| {
        let mut reply = Reply::to(command, Outcome::Failed);
        reply.error = Some(Failure { code: "nul\0".to_owned(), message: "a\0b".to_owned(), retryable: false });
        if command.step == "second" && command.action == Action::Execute {
            vec![reply]
        } else {
            vec![Reply::to(command, Outcome::Completed)]
        }
    }))
    .await;
    let id = rig.start().await;
    let saga = rig.until(id, finished).await;
    assert_eq!(saga.status, Status::Compensated);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_starts_are_refused_for_load() {
    let limits = Limits { starts: 1, shards: 1, batch: 1, ..Limits::default() };
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let rig = Rig::on(folder, limits, obedient()).await;
    let submissions = (0..200).map(|_| {
        let id = Uuid::now_v7();
        rig.engine.submit(start(id, id.to_string()))
    });
    let answers = futures::future::join_all(submissions).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(SubmitError::Overloaded { .. }))).count();
    assert!(refused > 0, "the fault must happen");
    for answer in answers.into_iter().flatten() {
        let Answer::Moved(saga) = answer else { panic!("{answer:?}") };
        assert_eq!(
            rig.until(saga.id, finished).await.status,
            Status::Completed,
            "what was accepted is carried through"
        );
    }
    rig.end().await;
}
