//! Rule A3: effects outside the database. Whatever the outcome of a call, and wherever the worker is killed, the
//! gateway is charged at most once, and a charge that is compensated is refunded.

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

    /// Handles a command. Returns the outcome, `empty` and the error code of its reply.
    async fn handle(&self, command: &Command) -> (ReplyOutcome, bool, String) {
        let reply = self.worker.handle(command.clone()).await;
        let (outcome, empty, code) = summary(&reply);
        (outcome, empty, code.to_owned())
    }

    async fn state(&self) -> &'static str {
        ledger_state(&self.worker, &self.command).await
    }

    /// Kills the worker while its call to the gateway hangs, and starts another.
    async fn restart_during_call(self) -> Self {
        self.worker.deliver(self.command.clone());
        self.gateway.hanging.notified().await;

        assert_eq!(
            self.state().await,
            "intended",
            "the intent must be committed before the call"
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

    async fn tear_down(self) {
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
            scenario.handle(&scenario.command).await,
            expected(Failed, false, "broken")
        );
        assert_eq!(scenario.state().await, "failed");
        assert_eq!(
            scenario.handle(&scenario.command).await,
            expected(Failed, false, "broken"),
            "attempt 1 gets its recorded reply"
        );
        assert_eq!(
            scenario.handle(&with_attempt(&scenario.command, 2)).await,
            expected(Failed, false, "unknown")
        );
        assert_eq!(
            scenario.handle(&with_attempt(&scenario.command, 3)).await,
            expected(Failed, false, "declined")
        );
        assert_eq!(
            scenario.handle(&with_attempt(&scenario.command, 4)).await,
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

        scenario.tear_down().await;
    }
}

#[tokio::test]
async fn a3_later_keeps_key_and_intent() {
    for database in databases("a3_later_keeps_key_and_intent").await {
        let scenario = Scenario::new(database).await;
        scenario.gateway.plan(&[CallPlan::Later]);

        assert_eq!(
            scenario.handle(&scenario.command).await,
            expected(Deferred, false, "later")
        );
        assert_eq!(scenario.state().await, "intended");
        assert_eq!(
            scenario.handle(&with_attempt(&scenario.command, 2)).await,
            expected(Completed, false, "")
        );
        assert_eq!(scenario.gateway.keys(), ["pay:execute", "pay:execute"]);

        scenario.tear_down().await;
    }
}

#[tokio::test]
async fn a3_compensate_after_kill_before_effect_leaves_none() {
    for can_void in [true, false] {
        for database in databases("a3_compensate_after_kill_before_effect_leaves_none").await {
            let scenario = Scenario::new(database).await;
            scenario.gateway.can_void.store(can_void, Ordering::SeqCst);
            scenario.gateway.plan(&[CallPlan::HangWithoutEffect]);

            let scenario = scenario.restart_during_call().await;
            let reply = scenario.handle(&compensate(&scenario.command)).await;

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
                // Without a void, the outcome of the call cannot be determined: the call is repeated with its key
                // and then compensated.
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
                scenario.handle(&scenario.command).await,
                expected(Failed, false, "revoked")
            );

            scenario.tear_down().await;
        }
    }
}

#[tokio::test]
async fn a3_compensate_after_kill_after_effect_refunds_once() {
    for can_void in [true, false] {
        for database in databases("a3_compensate_after_kill_after_effect_refunds_once").await {
            let scenario = Scenario::new(database).await;
            scenario.gateway.can_void.store(can_void, Ordering::SeqCst);
            scenario.gateway.plan(&[CallPlan::HangWithEffect]);

            let scenario = scenario.restart_during_call().await;

            assert_eq!(
                scenario.handle(&compensate(&scenario.command)).await,
                expected(Completed, false, "")
            );
            assert_eq!(scenario.state().await, "compensated");
            assert_eq!(
                (scenario.gateway.charges(), scenario.gateway.refunds()),
                (1, 1),
                "the compensation must not be replied to as empty"
            );

            scenario.tear_down().await;
        }
    }
}

#[tokio::test]
async fn a3_repeat_after_kill_after_effect_charges_once() {
    for database in databases("a3_repeat_after_kill_after_effect_charges_once").await {
        let scenario = Scenario::new(database).await;
        scenario.gateway.plan(&[CallPlan::HangWithEffect]);

        let scenario = scenario.restart_during_call().await;

        assert_eq!(
            scenario.handle(&scenario.command).await,
            expected(Completed, false, "")
        );
        assert_eq!(scenario.gateway.keys(), ["pay:execute", "pay:execute"]);
        assert_eq!(scenario.gateway.charges(), 1);

        scenario.tear_down().await;
    }
}

#[tokio::test]
async fn a3_compensation_with_unknown_recovery_is_unknown() {
    for database in databases("a3_compensation_with_unknown_recovery_is_unknown").await {
        let scenario = Scenario::new(database).await;
        scenario
            .gateway
            .plan(&[CallPlan::UnknownWithEffect, CallPlan::UnknownWithoutEffect]);
        assert_eq!(
            scenario.handle(&scenario.command).await,
            expected(Failed, false, "unknown")
        );

        let compensation = compensate(&scenario.command);
        assert_eq!(
            scenario.handle(&compensation).await,
            expected(Failed, false, "unknown")
        );
        assert_eq!(scenario.state().await, "intended");
        assert_eq!(
            scenario.handle(&with_attempt(&scenario.command, 2)).await,
            expected(Failed, false, "revoked"),
            "a compensation has started"
        );
        assert_eq!(
            scenario.handle(&with_attempt(&compensation, 2)).await,
            expected(Completed, false, "")
        );
        assert_eq!(
            (scenario.gateway.charges(), scenario.gateway.refunds()),
            (1, 1)
        );

        scenario.tear_down().await;
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
            scenario.handle(&scenario.command).await,
            expected(Completed, false, "")
        );

        let compensation = compensate(&scenario.command);
        assert_eq!(
            scenario.handle(&compensation).await,
            expected(Failed, false, "unknown")
        );
        assert_eq!(
            scenario.handle(&with_attempt(&compensation, 2)).await,
            expected(Failed, false, "broken")
        );
        assert_eq!(scenario.state().await, "done");
        assert_eq!(
            scenario.handle(&with_attempt(&compensation, 3)).await,
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

        scenario.tear_down().await;
    }
}

#[tokio::test]
async fn a3_revoked_intent_records_no_outcome() {
    for database in databases("a3_revoked_intent_records_no_outcome").await {
        let scenario = Scenario::new(database).await;
        scenario.gateway.plan(&[CallPlan::UnknownWithoutEffect]);

        assert_eq!(
            scenario.handle(&scenario.command).await,
            expected(Failed, false, "unknown")
        );

        let revoke = Command {
            revoke_only: true,
            ..compensate(&scenario.command)
        };
        assert_eq!(
            scenario.handle(&revoke).await,
            expected(Completed, true, "")
        );
        assert_eq!(
            scenario.handle(&with_attempt(&scenario.command, 2)).await,
            expected(Failed, false, "revoked")
        );
        assert_eq!(
            (scenario.state().await, scenario.gateway.charges()),
            ("revoked", 0)
        );

        scenario.tear_down().await;
    }
}

#[tokio::test]
async fn a3_second_member_revokes_the_call_of_a_hung_one() {
    let name = "a3_second_member_revokes_the_call_of_a_hung_one";
    let Some(database) = crate::support::postgres(name).await else {
        return;
    };

    let gateway = Arc::new(FakeGateway::default());
    gateway.can_void.store(true, Ordering::SeqCst);
    let first = TestWorker::start_on(gateway.spec(), &database, &[]).await;
    let second = TestWorker::start_on(gateway.spec(), &database, &[]).await;
    let command = execute("pay");
    gateway.plan(&[CallPlan::HangWithoutEffect]);
    first.deliver(command.clone());
    gateway.hanging.notified().await;

    // The call of the first member hangs, its partition moves to the second, and the saga is cancelled.
    assert_eq!(
        summary(&second.handle(compensate(&command)).await),
        (Completed, true, "")
    );
    assert_eq!(
        summary(&second.handle(command.clone()).await),
        (Failed, false, "revoked")
    );
    assert_eq!(
        (ledger_state(&second, &command).await, gateway.charges()),
        ("revoked", 0)
    );

    first.kill().await;
    second.stop().await;
    database.drop_database().await;
}

#[tokio::test]
async fn slow_call_does_not_block_other_sagas() {
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
        "all commands except the slow one are acknowledged"
    );

    worker.kill().await;
}
