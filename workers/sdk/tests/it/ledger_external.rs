//! A3: effects outside the database. Whatever a call comes to, wherever the worker is killed, the gateway is charged at
//! the most once, and what was charged is refunded.

use crate::support::scripted::{CallPlan, FakeGateway};
use crate::support::{databases, execute, ledger_state, summary};
use saga_protocol::message::Command;
use saga_protocol::message::ReplyOutcome::{self, Completed, Deferred, Failed};
use saga_worker::testing::{TestDatabase, TestWorker, compensate, with_attempt};
use std::sync::Arc;
use std::sync::atomic::Ordering;

struct Scenario {
    gateway: Arc<FakeGateway>,
    worker: TestWorker,
    database: TestDatabase,
    command: Command,
}

impl Scenario {
    async fn new(database: TestDatabase) -> Self {
        let gateway = Arc::new(FakeGateway::default());
        let worker = TestWorker::start_on(gateway.spec(), &database, &[]).await;
        Self {
            gateway,
            worker,
            database,
            command: execute("pay"),
        }
    }

    async fn ask(&self, command: &Command) -> (ReplyOutcome, bool, String) {
        let reply = self.worker.handle(command.clone()).await;
        let (outcome, empty, code) = summary(&reply);
        (outcome, empty, code.to_owned())
    }

    async fn state(&self) -> &'static str {
        ledger_state(&self.worker, &self.command).await
    }

    /// Kills the worker while it hangs in a call, and starts another.
    async fn killed_while_hanging(self) -> Self {
        self.worker.deliver(self.command.clone());
        self.gateway.hanging.notified().await;
        assert_eq!(
            self.state().await,
            "intended",
            "it is written down before the call"
        );
        let Self {
            gateway,
            worker,
            database,
            command,
        } = self;
        worker.kill().await;
        let worker = TestWorker::start_on(gateway.spec(), &database, &[]).await;
        Self {
            gateway,
            worker,
            database,
            command,
        }
    }

    async fn leave(self) {
        self.worker.stop().await;
        self.database.drop_database().await;
    }
}

fn expected(outcome: ReplyOutcome, empty: bool, code: &str) -> (ReplyOutcome, bool, String) {
    (outcome, empty, code.to_owned())
}

#[tokio::test]
async fn a3_unknown_call_is_repeated_with_same_key() {
    for database in databases("a3_unknown_call_is_repeated_with_same_key").await {
        for plan in [
            CallPlan::UnknownWithoutEffect,
            CallPlan::UnknownWithEffect,
            CallPlan::Panic,
        ] {
            let gateway = Arc::new(FakeGateway::default());
            let worker = TestWorker::start_on(gateway.spec(), &database, &[]).await;
            let command = execute("pay");
            gateway.plan(&[plan]);
            assert_eq!(
                summary(&worker.handle(command.clone()).await),
                (Failed, false, "unknown"),
                "{plan:?}"
            );
            assert_eq!(ledger_state(&worker, &command).await, "intended");
            assert_eq!(
                summary(&worker.handle(with_attempt(&command, 2)).await),
                (Completed, false, "")
            );
            assert_eq!(gateway.keys(), ["pay:execute", "pay:execute"], "{plan:?}");
            assert_eq!(gateway.charges(), 1);
            worker.stop().await;
        }
        database.drop_database().await;
    }
}

#[tokio::test]
async fn a3_key_is_replaced_only_after_no_effect() {
    for database in databases("a3_key_is_replaced_only_after_no_effect").await {
        let scenario = Scenario::new(database).await;
        scenario.gateway.plan(&[
            CallPlan::Retry,
            CallPlan::UnknownWithoutEffect,
            CallPlan::Failed,
        ]);
        assert_eq!(
            scenario.ask(&scenario.command).await,
            expected(Failed, false, "broken")
        );
        assert_eq!(scenario.state().await, "failed");
        assert_eq!(
            scenario.ask(&scenario.command).await,
            expected(Failed, false, "broken"),
            "attempt 1 has its answer"
        );
        assert_eq!(
            scenario.ask(&with_attempt(&scenario.command, 2)).await,
            expected(Failed, false, "unknown")
        );
        assert_eq!(
            scenario.ask(&with_attempt(&scenario.command, 3)).await,
            expected(Failed, false, "declined")
        );
        assert_eq!(
            scenario.ask(&with_attempt(&scenario.command, 4)).await,
            expected(Completed, false, "")
        );
        assert_eq!(
            scenario.gateway.keys(),
            [
                "pay:execute",
                "pay:execute:1",
                "pay:execute:1",
                "pay:execute:2"
            ]
        );
        assert_eq!(scenario.gateway.charges(), 1);
        scenario.leave().await;
    }
}

#[tokio::test]
async fn a3_later_keeps_key_and_intent() {
    for database in databases("a3_later_keeps_key_and_intent").await {
        let scenario = Scenario::new(database).await;
        scenario.gateway.plan(&[CallPlan::Later]);
        assert_eq!(
            scenario.ask(&scenario.command).await,
            expected(Deferred, false, "later")
        );
        assert_eq!(scenario.state().await, "intended");
        assert_eq!(
            scenario.ask(&with_attempt(&scenario.command, 2)).await,
            expected(Completed, false, "")
        );
        assert_eq!(scenario.gateway.keys(), ["pay:execute", "pay:execute"]);
        scenario.leave().await;
    }
}

#[tokio::test]
async fn a3_killed_before_effect_then_compensated() {
    for can_void in [true, false] {
        for database in databases("a3_killed_before_effect_then_compensated").await {
            let scenario = Scenario::new(database).await;
            scenario.gateway.can_void.store(can_void, Ordering::SeqCst);
            scenario.gateway.plan(&[CallPlan::HangWithoutEffect]);
            let scenario = scenario.killed_while_hanging().await;
            let reply = scenario.ask(&compensate(&scenario.command)).await;
            if can_void {
                assert_eq!(
                    (reply, scenario.state().await),
                    (expected(Completed, true, ""), "revoked")
                );
                assert_eq!(
                    (scenario.gateway.charges(), scenario.gateway.refunds()),
                    (0, 0)
                );
            } else {
                // Nobody can say that it never happened, so it is made to happen, under its key, and then compensated.
                assert_eq!(
                    (reply, scenario.state().await),
                    (expected(Completed, false, ""), "compensated")
                );
                assert_eq!(
                    (scenario.gateway.charges(), scenario.gateway.refunds()),
                    (1, 1)
                );
            }
            assert_eq!(
                scenario.ask(&scenario.command).await,
                expected(Failed, false, "revoked")
            );
            scenario.leave().await;
        }
    }
}

#[tokio::test]
async fn a3_killed_after_effect_then_compensated() {
    for can_void in [true, false] {
        for database in databases("a3_killed_after_effect_then_compensated").await {
            let scenario = Scenario::new(database).await;
            scenario.gateway.can_void.store(can_void, Ordering::SeqCst);
            scenario.gateway.plan(&[CallPlan::HangWithEffect]);
            let scenario = scenario.killed_while_hanging().await;
            assert_eq!(
                scenario.ask(&compensate(&scenario.command)).await,
                expected(Completed, false, "")
            );
            assert_eq!(scenario.state().await, "compensated");
            assert_eq!(
                (scenario.gateway.charges(), scenario.gateway.refunds()),
                (1, 1),
                "it is never answered empty"
            );
            scenario.leave().await;
        }
    }
}

#[tokio::test]
async fn a3_killed_after_effect_then_repeated() {
    for database in databases("a3_killed_after_effect_then_repeated").await {
        let scenario = Scenario::new(database).await;
        scenario.gateway.plan(&[CallPlan::HangWithEffect]);
        let scenario = scenario.killed_while_hanging().await;
        assert_eq!(
            scenario.ask(&scenario.command).await,
            expected(Completed, false, "")
        );
        assert_eq!(scenario.gateway.keys(), ["pay:execute", "pay:execute"]);
        assert_eq!(scenario.gateway.charges(), 1);
        scenario.leave().await;
    }
}

#[tokio::test]
async fn a3_compensation_of_unknown_call_answers_unknown() {
    for database in databases("a3_compensation_of_unknown_call_answers_unknown").await {
        let scenario = Scenario::new(database).await;
        scenario
            .gateway
            .plan(&[CallPlan::UnknownWithEffect, CallPlan::UnknownWithoutEffect]);
        assert_eq!(
            scenario.ask(&scenario.command).await,
            expected(Failed, false, "unknown")
        );
        let undo = compensate(&scenario.command);
        assert_eq!(
            scenario.ask(&undo).await,
            expected(Failed, false, "unknown")
        );
        assert_eq!(scenario.state().await, "intended");
        assert_eq!(
            scenario.ask(&with_attempt(&scenario.command, 2)).await,
            expected(Failed, false, "revoked"),
            "it is on its way back"
        );
        assert_eq!(
            scenario.ask(&with_attempt(&undo, 2)).await,
            expected(Completed, false, "")
        );
        assert_eq!(
            (scenario.gateway.charges(), scenario.gateway.refunds()),
            (1, 1)
        );
        scenario.leave().await;
    }
}

#[tokio::test]
async fn a3_unknown_compensation_is_repeated_with_same_key() {
    for database in databases("a3_unknown_compensation_is_repeated_with_same_key").await {
        let scenario = Scenario::new(database).await;
        scenario.gateway.plan(&[
            CallPlan::Succeed,
            CallPlan::UnknownWithEffect,
            CallPlan::Retry,
        ]);
        assert_eq!(
            scenario.ask(&scenario.command).await,
            expected(Completed, false, "")
        );
        let undo = compensate(&scenario.command);
        assert_eq!(
            scenario.ask(&undo).await,
            expected(Failed, false, "unknown")
        );
        assert_eq!(
            scenario.ask(&with_attempt(&undo, 2)).await,
            expected(Failed, false, "broken")
        );
        assert_eq!(scenario.state().await, "done");
        assert_eq!(
            scenario.ask(&with_attempt(&undo, 3)).await,
            expected(Completed, false, "")
        );
        assert_eq!(
            scenario.gateway.keys(),
            [
                "pay:execute",
                "pay:compensate",
                "pay:compensate",
                "pay:compensate:1"
            ]
        );
        assert_eq!(
            (scenario.state().await, scenario.gateway.refunds()),
            ("compensated", 1)
        );
        scenario.leave().await;
    }
}

#[tokio::test]
async fn a3_revoked_intent_records_no_outcome() {
    for database in databases("a3_revoked_intent_records_no_outcome").await {
        let scenario = Scenario::new(database).await;
        scenario.gateway.plan(&[CallPlan::UnknownWithoutEffect]);
        assert_eq!(
            scenario.ask(&scenario.command).await,
            expected(Failed, false, "unknown")
        );
        let revoke = Command {
            revoke_only: true,
            ..compensate(&scenario.command)
        };
        assert_eq!(scenario.ask(&revoke).await, expected(Completed, true, ""));
        assert_eq!(
            scenario.ask(&with_attempt(&scenario.command, 2)).await,
            expected(Failed, false, "revoked")
        );
        assert_eq!(
            (scenario.state().await, scenario.gateway.charges()),
            ("revoked", 0)
        );
        scenario.leave().await;
    }
}

#[tokio::test]
async fn a3_two_members_with_one_command_act_once() {
    let name = "a3_two_members_with_one_command_act_once";
    let Some(database) = crate::support::postgres(name).await else {
        return;
    };
    let gateway = Arc::new(FakeGateway::default());
    gateway.can_void.store(true, Ordering::SeqCst);
    let one = TestWorker::start_on(gateway.spec(), &database, &[]).await;
    let two = TestWorker::start_on(gateway.spec(), &database, &[]).await;
    let command = execute("pay");
    gateway.plan(&[CallPlan::HangWithoutEffect]);
    one.deliver(command.clone());
    gateway.hanging.notified().await;
    // The first hangs, its partition goes to the second; then the saga is cancelled.
    assert_eq!(
        summary(&two.handle(compensate(&command)).await),
        (Completed, true, "")
    );
    assert_eq!(
        summary(&two.handle(command.clone()).await),
        (Failed, false, "revoked")
    );
    assert_eq!(
        (ledger_state(&two, &command).await, gateway.charges()),
        ("revoked", 0)
    );
    one.kill().await;
    two.stop().await;
    database.drop_database().await;
}

#[tokio::test]
async fn slow_call_does_not_block_others() {
    let database = TestDatabase::sqlite();
    let gateway = Arc::new(FakeGateway::default());
    gateway.plan(&[CallPlan::HangWithoutEffect]);
    let slow = execute("pay");
    let others: Vec<Command> = (0..30).map(|_| execute("pay")).collect();
    let all: Vec<Command> = std::iter::once(slow.clone()).chain(others).collect();
    let worker = TestWorker::start_on(gateway.spec(), &database, &all).await;
    let replies = worker.take_replies(30).await;
    assert!(replies.iter().all(|reply| reply.outcome == Completed));
    assert_eq!(
        worker.acknowledged(),
        30,
        "what is answered is acknowledged, the slow one is not"
    );
    worker.kill().await;
}
