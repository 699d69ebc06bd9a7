//! A3: effects outside the database. Whatever a call comes to, wherever the worker is killed, the world is charged at
//! the most once, and what was charged is refunded.

use crate::support::scripted::{Plan, World};
use crate::support::{Home, Running, attempt, compensate, execute, gist, homes};
use saga_protocol::message::Command;
use saga_protocol::message::ReplyOutcome::{Completed, Deferred, Failed};
use std::sync::Arc;
use std::sync::atomic::Ordering;

struct Scene {
    world: Arc<World>,
    worker: Running,
    home: Home,
    command: Command,
}

impl Scene {
    async fn new(home: Home) -> Self {
        let world = Arc::new(World::default());
        let worker = Running::start(world.spec(), &home).await;
        Self {
            world,
            worker,
            home,
            command: execute("pay"),
        }
    }

    async fn ask(&self, command: &Command) -> (saga_protocol::message::ReplyOutcome, bool, String) {
        let reply = self.worker.bus.ask(command.clone()).await;
        let (outcome, empty, code) = gist(&reply);
        (outcome, empty, code.to_owned())
    }

    async fn state(&self) -> String {
        self.worker.state(&self.command).await
    }

    /// Kills the worker while it hangs in a call, and starts another.
    async fn killed_while_hanging(self) -> Self {
        self.worker.bus.push(self.command.clone());
        self.world.hanging.notified().await;
        assert_eq!(
            self.state().await,
            "intended",
            "it is written down before the call"
        );
        let Self {
            world,
            worker,
            home,
            command,
        } = self;
        worker.kill().await;
        let worker = Running::start(world.spec(), &home).await;
        Self {
            world,
            worker,
            home,
            command,
        }
    }

    async fn leave(self) {
        self.worker.stop().await;
        self.home.leave().await;
    }
}

fn said(
    outcome: saga_protocol::message::ReplyOutcome,
    empty: bool,
    code: &str,
) -> (saga_protocol::message::ReplyOutcome, bool, String) {
    (outcome, empty, code.to_owned())
}

#[tokio::test]
async fn a3_what_is_unknown_is_asked_again_with_the_same_key() {
    for home in homes("a3_what_is_unknown_is_asked_again_with_the_same_key").await {
        for plan in [Plan::UnknownBefore, Plan::UnknownAfter, Plan::Panic] {
            let world = Arc::new(World::default());
            let worker = Running::start(world.spec(), &home).await;
            let command = execute("pay");
            world.plan(&[plan]);
            assert_eq!(
                gist(&worker.bus.ask(command.clone()).await),
                (Failed, false, "unknown"),
                "{plan:?}"
            );
            assert_eq!(worker.state(&command).await, "intended");
            assert_eq!(
                gist(&worker.bus.ask(attempt(&command, 2)).await),
                (Completed, false, "")
            );
            assert_eq!(world.keys(), ["pay:execute", "pay:execute"], "{plan:?}");
            assert_eq!(world.charges(), 1);
            worker.stop().await;
        }
        home.leave().await;
    }
}

#[tokio::test]
async fn a3_a_new_key_comes_only_after_an_answer_that_had_no_effect() {
    for home in homes("a3_a_new_key_comes_only_after_an_answer_that_had_no_effect").await {
        let scene = Scene::new(home).await;
        scene
            .world
            .plan(&[Plan::Again, Plan::UnknownBefore, Plan::Failed]);
        assert_eq!(
            scene.ask(&scene.command).await,
            said(Failed, false, "broken")
        );
        assert_eq!(scene.state().await, "failed");
        assert_eq!(
            scene.ask(&scene.command).await,
            said(Failed, false, "broken"),
            "attempt 1 has its answer"
        );
        assert_eq!(
            scene.ask(&attempt(&scene.command, 2)).await,
            said(Failed, false, "unknown")
        );
        assert_eq!(
            scene.ask(&attempt(&scene.command, 3)).await,
            said(Failed, false, "declined")
        );
        assert_eq!(
            scene.ask(&attempt(&scene.command, 4)).await,
            said(Completed, false, "")
        );
        assert_eq!(
            scene.world.keys(),
            [
                "pay:execute",
                "pay:execute:1",
                "pay:execute:1",
                "pay:execute:2"
            ]
        );
        assert_eq!(scene.world.charges(), 1);
        scene.leave().await;
    }
}

#[tokio::test]
async fn a3_later_keeps_the_key_and_the_intention() {
    for home in homes("a3_later_keeps_the_key_and_the_intention").await {
        let scene = Scene::new(home).await;
        scene.world.plan(&[Plan::Later]);
        assert_eq!(
            scene.ask(&scene.command).await,
            said(Deferred, false, "later")
        );
        assert_eq!(scene.state().await, "intended");
        assert_eq!(
            scene.ask(&attempt(&scene.command, 2)).await,
            said(Completed, false, "")
        );
        assert_eq!(scene.world.keys(), ["pay:execute", "pay:execute"]);
        scene.leave().await;
    }
}

#[tokio::test]
async fn a3_killed_before_the_effect_then_compensated() {
    for can_void in [true, false] {
        for home in homes("a3_killed_before_the_effect_then_compensated").await {
            let scene = Scene::new(home).await;
            scene.world.can_void.store(can_void, Ordering::SeqCst);
            scene.world.plan(&[Plan::HangBefore]);
            let scene = scene.killed_while_hanging().await;
            let reply = scene.ask(&compensate(&scene.command)).await;
            if can_void {
                assert_eq!(
                    (reply, scene.state().await.as_str()),
                    (said(Completed, true, ""), "revoked")
                );
                assert_eq!((scene.world.charges(), scene.world.refunds()), (0, 0));
            } else {
                // Nobody can say that it never happened, so it is made to happen, under its key, and then compensated.
                assert_eq!(
                    (reply, scene.state().await.as_str()),
                    (said(Completed, false, ""), "compensated")
                );
                assert_eq!((scene.world.charges(), scene.world.refunds()), (1, 1));
            }
            assert_eq!(
                scene.ask(&scene.command).await,
                said(Failed, false, "revoked")
            );
            scene.leave().await;
        }
    }
}

#[tokio::test]
async fn a3_killed_with_the_charge_on_the_wire_then_compensated() {
    for can_void in [true, false] {
        for home in homes("a3_killed_with_the_charge_on_the_wire_then_compensated").await {
            let scene = Scene::new(home).await;
            scene.world.can_void.store(can_void, Ordering::SeqCst);
            scene.world.plan(&[Plan::HangAfter]);
            let scene = scene.killed_while_hanging().await;
            assert_eq!(
                scene.ask(&compensate(&scene.command)).await,
                said(Completed, false, "")
            );
            assert_eq!(scene.state().await, "compensated");
            assert_eq!(
                (scene.world.charges(), scene.world.refunds()),
                (1, 1),
                "it is never answered empty"
            );
            scene.leave().await;
        }
    }
}

#[tokio::test]
async fn a3_killed_with_the_charge_on_the_wire_then_asked_again() {
    for home in homes("a3_killed_with_the_charge_on_the_wire_then_asked_again").await {
        let scene = Scene::new(home).await;
        scene.world.plan(&[Plan::HangAfter]);
        let scene = scene.killed_while_hanging().await;
        assert_eq!(scene.ask(&scene.command).await, said(Completed, false, ""));
        assert_eq!(scene.world.keys(), ["pay:execute", "pay:execute"]);
        assert_eq!(scene.world.charges(), 1);
        scene.leave().await;
    }
}

#[tokio::test]
async fn a3_while_it_is_unknown_a_compensation_answers_unknown() {
    for home in homes("a3_while_it_is_unknown_a_compensation_answers_unknown").await {
        let scene = Scene::new(home).await;
        scene.world.plan(&[Plan::UnknownAfter, Plan::UnknownBefore]);
        assert_eq!(
            scene.ask(&scene.command).await,
            said(Failed, false, "unknown")
        );
        let undo = compensate(&scene.command);
        assert_eq!(scene.ask(&undo).await, said(Failed, false, "unknown"));
        assert_eq!(scene.state().await, "intended");
        assert_eq!(
            scene.ask(&attempt(&scene.command, 2)).await,
            said(Failed, false, "revoked"),
            "it is on its way back"
        );
        assert_eq!(
            scene.ask(&attempt(&undo, 2)).await,
            said(Completed, false, "")
        );
        assert_eq!((scene.world.charges(), scene.world.refunds()), (1, 1));
        scene.leave().await;
    }
}

#[tokio::test]
async fn a3_a_refund_is_repeated_with_its_key_until_it_is_known() {
    for home in homes("a3_a_refund_is_repeated_with_its_key_until_it_is_known").await {
        let scene = Scene::new(home).await;
        scene
            .world
            .plan(&[Plan::Works, Plan::UnknownAfter, Plan::Again]);
        assert_eq!(scene.ask(&scene.command).await, said(Completed, false, ""));
        let undo = compensate(&scene.command);
        assert_eq!(scene.ask(&undo).await, said(Failed, false, "unknown"));
        assert_eq!(
            scene.ask(&attempt(&undo, 2)).await,
            said(Failed, false, "broken")
        );
        assert_eq!(scene.state().await, "done");
        assert_eq!(
            scene.ask(&attempt(&undo, 3)).await,
            said(Completed, false, "")
        );
        assert_eq!(
            scene.world.keys(),
            [
                "pay:execute",
                "pay:compensate",
                "pay:compensate",
                "pay:compensate:1"
            ]
        );
        assert_eq!(
            (scene.state().await.as_str(), scene.world.refunds()),
            ("compensated", 1)
        );
        scene.leave().await;
    }
}

#[tokio::test]
async fn a3_what_is_revoked_meanwhile_takes_no_outcome() {
    for home in homes("a3_what_is_revoked_meanwhile_takes_no_outcome").await {
        let scene = Scene::new(home).await;
        scene.world.plan(&[Plan::UnknownBefore]);
        assert_eq!(
            scene.ask(&scene.command).await,
            said(Failed, false, "unknown")
        );
        let revoke = Command {
            revoke_only: true,
            ..compensate(&scene.command)
        };
        assert_eq!(scene.ask(&revoke).await, said(Completed, true, ""));
        assert_eq!(
            scene.ask(&attempt(&scene.command, 2)).await,
            said(Failed, false, "revoked")
        );
        assert_eq!(
            (scene.state().await.as_str(), scene.world.charges()),
            ("revoked", 0)
        );
        scene.leave().await;
    }
}

#[tokio::test]
async fn a3_two_members_with_the_same_command_charge_once_and_one_outcome_is_written() {
    let name = "a3_two_members_with_the_same_command_charge_once_and_one_outcome_is_written";
    let Some(home) = crate::support::postgres(name).await else {
        return;
    };
    let world = Arc::new(World::default());
    world.can_void.store(true, Ordering::SeqCst);
    let one = Running::start(world.spec(), &home).await;
    let two = Running::start(world.spec(), &home).await;
    let command = execute("pay");
    world.plan(&[Plan::HangBefore]);
    one.bus.push(command.clone());
    world.hanging.notified().await;
    // The first hangs, its partition goes to the second; then the saga is cancelled.
    assert_eq!(
        gist(&two.bus.ask(compensate(&command)).await),
        (Completed, true, "")
    );
    assert_eq!(
        gist(&two.bus.ask(command.clone()).await),
        (Failed, false, "revoked")
    );
    assert_eq!(
        (two.state(&command).await.as_str(), world.charges()),
        ("revoked", 0)
    );
    one.kill().await;
    two.stop().await;
    home.leave().await;
}

#[tokio::test]
async fn one_slow_call_does_not_hold_the_others() {
    let home = crate::support::sqlite();
    let world = Arc::new(World::default());
    world.plan(&[Plan::HangBefore]);
    let slow = execute("pay");
    let others: Vec<Command> = (0..30).map(|_| execute("pay")).collect();
    let all: Vec<Command> = std::iter::once(slow.clone()).chain(others).collect();
    let worker = Running::start_with(
        world.spec(),
        &home,
        saga_worker::WorkerSettings::default(),
        &all,
    )
    .await;
    let replies = worker.bus.replies(30).await;
    assert!(replies.iter().all(|reply| reply.outcome == Completed));
    assert_eq!(
        worker.bus.acks(),
        30,
        "what is answered is acknowledged, the slow one is not"
    );
    worker.kill().await;
}
