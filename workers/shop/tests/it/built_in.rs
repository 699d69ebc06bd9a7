//! The workers built_in, on both databases, driven over a bus in memory.

use crate::support::{databases, execute, order_with_token, postgres_url, summary};
use saga_protocol::Payload;
use saga_protocol::message::ReplyOutcome::{Accepted, Completed, Failed};
use saga_protocol::message::{Command, CommandInput};
use saga_worker::ledger::{Completion, finish};
use saga_worker::testing::{TestDatabase, TestWorker, compensate, with_attempt};
use sqlx::{Connection, Executor};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use workers::gateway::{Gateway, serve};
use workers::handlers::{Auto, HandlerSettings, PaymentMode, built_in};

async fn run(name: &str, database: &TestDatabase, settings: &HandlerSettings) -> TestWorker {
    TestWorker::start_on(built_in(name, settings).unwrap(), database, &[]).await
}

fn inside() -> HandlerSettings {
    HandlerSettings {
        payment: Some(PaymentMode::Inside),
        ..HandlerSettings::default()
    }
}

fn auto(after: Auto) -> HandlerSettings {
    HandlerSettings {
        auto: after,
        ..HandlerSettings::default()
    }
}

#[tokio::test]
async fn every_step_executes_repeats_and_compensates() {
    for database in databases("every_step_executes_repeats_and_compensates").await {
        for name in ["order", "pay", "store", "deliver"] {
            let worker = run(name, &database, &inside()).await;
            let command = execute(name);
            let first = worker.handle(command.clone()).await;
            assert_eq!(
                summary(&first),
                (Completed, false, ""),
                "{name} on {:?}",
                database.target()
            );
            assert_eq!(
                worker.handle(command.clone()).await,
                first,
                "a repeated command gets the same answer"
            );
            assert_eq!(
                summary(&worker.handle(compensate(&command)).await),
                (Completed, false, "")
            );
            assert_eq!(
                summary(&worker.handle(command).await),
                (Failed, false, "revoked")
            );
            worker.wait_for_acknowledged(4).await;
            worker.stop().await;
        }
        database.drop_database().await;
    }
}

#[tokio::test]
async fn batch_answers_every_command() {
    for database in databases("batch_answers_every_command").await {
        let mut commands: Vec<Command> = (0..300).map(|_| execute("order")).collect();
        commands[17].input = priced("north", 1);
        commands[18].input = CommandInput {
            input: Payload::encode("nonsense").unwrap(),
            ..CommandInput::default()
        };
        let spec = built_in("order", &inside()).unwrap();
        let worker = TestWorker::start_on(spec, &database, &commands).await;
        let replies = worker.take_replies(300).await;
        let failed: Vec<_> = replies
            .iter()
            .filter(|reply| reply.outcome == Failed)
            .map(|reply| summary(reply).2)
            .collect();
        assert_eq!(failed, ["price_changed", "invalid_order"]);
        assert_eq!(worker.query_int("select count(*) from orders").await, 298);
        worker.stop().await;
        database.drop_database().await;
    }
}

fn priced(store: &str, price: i64) -> CommandInput {
    let mut input: serde_json::Value = crate::support::order().decode().unwrap();
    input["store"] = store.into();
    input["items"][0]["price"] = price.into();
    CommandInput {
        input: input.into(),
        ..CommandInput::default()
    }
}

#[tokio::test]
async fn listed_item_at_other_price_is_rejected() {
    for database in databases("listed_item_at_other_price_is_rejected").await {
        let worker = run("order", &database, &inside()).await;
        for (store, price, code) in [
            ("north", 550, ""),
            ("north", 551, "price_changed"),
            ("south", 590, ""),
            ("s-1", 1, ""),
        ] {
            let command = Command {
                input: priced(store, price),
                ..execute("order")
            };
            let reply = worker.handle(command.clone()).await;
            assert_eq!(summary(&reply).2, code, "{store} {price}");
            if code.is_empty() {
                let output: serde_json::Value = reply.output.unwrap().decode().unwrap();
                let expected = serde_json::json!({ "order_id": command.key, "amount": 2 * price, "currency": "EUR" });
                assert_eq!(output, expected);
            }
        }
        worker.stop().await;
        database.drop_database().await;
    }
}

#[tokio::test]
async fn b5_accepted_step_completes_when_due_after_restart() {
    for database in databases("b5_accepted_step_completes_when_due_after_restart").await {
        for name in ["store", "deliver"] {
            let settings = auto(Auto::After(Duration::from_millis(300)));
            let worker = run(name, &database, &settings).await;
            let command = execute(name);
            assert_eq!(
                summary(&worker.handle(command.clone()).await),
                (Accepted, false, "")
            );
            worker.kill().await;
            let worker = run(name, &database, &settings).await;
            let news = worker.take_replies(1).await.remove(0);
            assert_eq!(
                summary(&news),
                (Completed, false, ""),
                "{name} on {:?}",
                database.target()
            );
            assert_eq!((news.saga_id, news.attempt), (command.saga_id, 1));
            let again = worker.handle(with_attempt(&command, 2)).await;
            assert_eq!(
                (again.outcome, again.output),
                (Completed, news.output),
                "asked again, the ledger knows"
            );
            worker.stop().await;
        }
        database.drop_database().await;
    }
}

#[tokio::test]
async fn b5_compensated_waiting_step_never_completes() {
    for database in databases("b5_compensated_waiting_step_never_completes").await {
        let worker = run(
            "store",
            &database,
            &auto(Auto::After(Duration::from_millis(200))),
        )
        .await;
        let command = execute("store");
        assert_eq!(
            summary(&worker.handle(command.clone()).await),
            (Accepted, false, "")
        );
        assert_eq!(
            summary(&worker.handle(compensate(&command)).await),
            (Completed, false, "")
        );
        // Another that is accepted after it is with_script of; by then the first one's time is long over.
        let other = execute("store");
        assert_eq!(
            summary(&worker.handle(other.clone()).await),
            (Accepted, false, "")
        );
        let news = worker.take_replies(1).await;
        assert_eq!((news.len(), news[0].saga_id), (1, other.saga_id));
        assert_eq!(
            worker
                .query_int("select count(*) from tickets where status = 'withdrawn'")
                .await,
            1
        );
        assert_eq!(
            worker
                .query_int("select count(*) from tickets where status = 'confirmed'")
                .await,
            1
        );
        worker.stop().await;
        database.drop_database().await;
    }
}

#[tokio::test]
async fn b5_waiting_step_finishes_once_and_replies() {
    for database in databases("b5_waiting_step_finishes_once_and_replies").await {
        let worker = run("store", &database, &auto(Auto::Off)).await;
        let command = execute("store");
        assert_eq!(
            summary(&worker.handle(command.clone()).await),
            (Accepted, false, "")
        );
        for first in [true, false] {
            let mut tx = worker.ledger().begin().await.unwrap();
            let ended = Completion::Completed(serde_json::json!({ "by": "the kitchen" }).into());
            assert_eq!(
                finish(&mut tx, command.saga_id, "store", ended)
                    .await
                    .unwrap(),
                first
            );
            tx.commit().await.unwrap();
        }
        let news = worker.take_replies(1).await.remove(0);
        assert_eq!(news.output.unwrap().get(), r#"{"by":"the kitchen"}"#);
        worker.stop().await;
        database.drop_database().await;
    }
}

/// A gateway of the test's own, and its address.
async fn gateway() -> (String, CancellationToken) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    tokio::spawn(serve(Gateway::in_memory(), listener, shutdown.clone()));
    (url, shutdown)
}

async fn charge_report(url: &str) -> workers::gateway::ChargeReport {
    let response = reqwest::get(format!("{url}/books")).await.unwrap();
    response.json().await.unwrap()
}

fn paying(token: &str) -> Command {
    Command {
        input: order_with_token(token),
        ..execute("pay")
    }
}

/// Tries until it is not retryable any more. Returns the attempts, and the code of the last.
async fn tried(worker: &TestWorker, command: &Command) -> (u32, String) {
    for n in 1..20 {
        let reply = worker.handle(with_attempt(command, n)).await;
        let retryable = reply.error.as_ref().is_some_and(|error| error.retryable);
        if !retryable {
            return (n, summary(&reply).2.to_owned());
        }
    }
    panic!("it does not end");
}

#[tokio::test]
async fn pay_charges_once_despite_gateway_faults() {
    let database = TestDatabase::sqlite();
    let (url, shutdown) = gateway().await;
    let settings = HandlerSettings {
        payment: Some(PaymentMode::Gateway(url.clone())),
        ..HandlerSettings::default()
    };
    let worker = run("pay", &database, &settings).await;
    let mut charged = Vec::new();
    for (token, attempts, code) in [
        ("tok_visa", 1, ""),
        ("tok_declined", 1, "declined"),
        ("tok_flaky", 3, ""),
        ("tok_lost", 2, ""),
    ] {
        let command = paying(token);
        assert_eq!(
            tried(&worker, &command).await,
            (attempts, code.to_owned()),
            "{token}"
        );
        if code.is_empty() {
            charged.push(format!("{}:pay:execute", command.saga_id));
        }
    }
    charged.sort();
    let report = charge_report(&url).await;
    assert_eq!(report.charges.keys().cloned().collect::<Vec<_>>(), charged);
    worker.stop().await;
    shutdown.cancel();
}

#[tokio::test]
async fn pay_refunds_charges_and_voids_unknown_ones() {
    let database = TestDatabase::sqlite();
    let (url, shutdown) = gateway().await;
    let settings = HandlerSettings {
        payment: Some(PaymentMode::Gateway(url.clone())),
        ..HandlerSettings::default()
    };
    let worker = run("pay", &database, &settings).await;

    let flaky = paying("tok_refund_flaky");
    worker.handle(flaky.clone()).await;
    assert_eq!(
        tried(&worker, &compensate(&flaky)).await,
        (3, String::new())
    );

    // The answer to the charge was lost: the void learns that it happened, and it is refunded.
    let lost = paying("tok_lost");
    assert_eq!(
        summary(&worker.handle(lost.clone()).await),
        (Failed, false, "unknown")
    );
    assert_eq!(
        summary(&worker.handle(compensate(&lost)).await),
        (Completed, false, "")
    );

    // Nothing was charged, but nobody knew: it is voided, and stays uncharged when the gateway is back.
    let out = paying("tok_outage");
    assert_eq!(
        summary(&worker.handle(out.clone()).await),
        (Failed, false, "unknown")
    );
    assert_eq!(
        summary(&worker.handle(compensate(&out)).await),
        (Completed, true, "")
    );

    let never = paying("tok_refund_never");
    worker.handle(never.clone()).await;
    assert_eq!(
        summary(&worker.handle(compensate(&never)).await),
        (Failed, false, "unknown")
    );
    reqwest::Client::new()
        .post(format!("{url}/admin/heal"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        summary(&worker.handle(with_attempt(&compensate(&never), 2)).await),
        (Completed, false, "")
    );

    let report = charge_report(&url).await;
    assert_eq!(
        (
            report.charges.len(),
            report.refunds.len(),
            report.voided.len()
        ),
        (3, 3, 1)
    );
    let mut effects = workers::reconcile::Effects::default();
    workers::reconcile::read_workers(database.target(), &mut effects)
        .await
        .unwrap();
    workers::reconcile::read_gateway(&url, &mut effects)
        .await
        .unwrap();
    assert_eq!(
        (effects.saga_count(), workers::reconcile::check(&effects)),
        (4, Vec::new())
    );
    worker.stop().await;
    shutdown.cancel();
}

#[tokio::test]
async fn worker_survives_terminated_database_sessions() {
    let Some(database) =
        crate::support::postgres("worker_survives_terminated_database_sessions").await
    else {
        return;
    };
    let worker = run("order", &database, &inside()).await;
    worker.handle(execute("order")).await;
    let mut killer = sqlx::PgConnection::connect(postgres_url(&database))
        .await
        .unwrap();
    for round in 1..=5 {
        (0..100).for_each(|_| worker.deliver(execute("order")));
        let killed = "select pg_terminate_backend(pid) from pg_stat_activity
                      where datname = current_database() and pid <> pg_backend_pid()";
        killer.execute(killed).await.unwrap();
        worker.wait_for_acknowledged(1 + 50 * round).await;
    }
    worker.wait_for_acknowledged(501).await;
    assert_eq!(worker.take_replies(500).await.len(), 500);
    // By the one connection that was spared: another may be ending only now.
    for count in [
        "select count(*) from worker_order.orders",
        "select count(*) from worker_order.ledger where state = 'done'",
    ] {
        assert_eq!(
            sqlx::query_scalar::<_, i64>(count)
                .fetch_one(&mut killer)
                .await
                .unwrap(),
            501,
            "{count}"
        );
    }
    killer.close().await.unwrap();
    worker.stop().await;
    database.drop_database().await;
}

#[test]
fn pay_without_gateway_names_missing_setting() {
    let error = built_in("pay", &HandlerSettings::default()).expect_err("there is nobody to ask");
    assert!(error.to_string().contains("PAYMENT_GATEWAY_URL"), "{error}");
    let nobody =
        built_in("cook", &HandlerSettings::default()).expect_err("there is no such worker");
    assert_eq!(
        nobody.to_string(),
        "unknown worker \"cook\": expected one of order, pay, store, deliver"
    );
}
