//! The built-in workers on both databases, driven over an in-memory bus.

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

fn auto(mode: Auto) -> HandlerSettings {
    HandlerSettings {
        auto: mode,
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
                "a repeated command gets the same reply"
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
            input: Payload::encode("not an order").unwrap(),
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
            let reply = worker.take_replies(1).await.remove(0);

            assert_eq!(
                summary(&reply),
                (Completed, false, ""),
                "{name} on {:?}",
                database.target()
            );
            assert_eq!((reply.saga_id, reply.attempt), (command.saga_id, 1));

            let repeated = worker.handle(with_attempt(&command, 2)).await;
            assert_eq!(
                (repeated.outcome, repeated.output),
                (Completed, reply.output),
                "a repeated command gets the output from the ledger"
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

        // A step that is accepted later completes; by then the compensated one would be overdue.
        let other = execute("store");
        assert_eq!(
            summary(&worker.handle(other.clone()).await),
            (Accepted, false, "")
        );

        let reply = worker.take_replies(1).await;
        assert_eq!((reply.len(), reply[0].saga_id), (1, other.saga_id));
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
            let completion =
                Completion::Completed(serde_json::json!({ "by": "the kitchen" }).into());

            assert_eq!(
                finish(&mut tx, command.saga_id, "store", completion)
                    .await
                    .unwrap(),
                first
            );

            tx.commit().await.unwrap();
        }

        let reply = worker.take_replies(1).await.remove(0);
        assert_eq!(reply.output.unwrap().get(), r#"{"by":"the kitchen"}"#);

        worker.stop().await;
        database.drop_database().await;
    }
}

/// Starts a simulated gateway. Returns its URL, and the token that stops it.
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

fn pay_command(token: &str) -> Command {
    Command {
        input: order_with_token(token),
        ..execute("pay")
    }
}

/// Sends attempts until one completes or fails permanently. Returns the number of attempts and the last error code.
async fn retry(worker: &TestWorker, command: &Command) -> (u32, String) {
    for attempt in 1..20 {
        let reply = worker.handle(with_attempt(command, attempt)).await;
        let retryable = reply.error.as_ref().is_some_and(|error| error.retryable);
        if !retryable {
            return (attempt, summary(&reply).2.to_owned());
        }
    }
    panic!("still retryable after 19 attempts");
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
        let command = pay_command(token);
        assert_eq!(
            retry(&worker, &command).await,
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

    let flaky = pay_command("tok_refund_flaky");
    worker.handle(flaky.clone()).await;
    assert_eq!(
        retry(&worker, &compensate(&flaky)).await,
        (3, String::new())
    );

    // The response to the charge was lost: the void finds the charge, and it is refunded.
    let lost = pay_command("tok_lost");
    assert_eq!(
        summary(&worker.handle(lost.clone()).await),
        (Failed, false, "unknown")
    );
    assert_eq!(
        summary(&worker.handle(compensate(&lost)).await),
        (Completed, false, "")
    );

    // The outcome of the call was unknown and nothing was charged: the key is voided, so it can never be charged.
    let outage = pay_command("tok_outage");
    assert_eq!(
        summary(&worker.handle(outage.clone()).await),
        (Failed, false, "unknown")
    );
    assert_eq!(
        summary(&worker.handle(compensate(&outage)).await),
        (Completed, true, "")
    );

    let refund_fails = pay_command("tok_refund_never");
    worker.handle(refund_fails.clone()).await;
    assert_eq!(
        summary(&worker.handle(compensate(&refund_fails)).await),
        (Failed, false, "unknown")
    );
    reqwest::Client::new()
        .post(format!("{url}/admin/heal"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        summary(
            &worker
                .handle(with_attempt(&compensate(&refund_fails), 2))
                .await
        ),
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
    let mut admin = sqlx::PgConnection::connect(postgres_url(&database))
        .await
        .unwrap();
    for round in 1..=5 {
        (0..100).for_each(|_| worker.deliver(execute("order")));
        let terminate = "select pg_terminate_backend(pid) from pg_stat_activity
                      where datname = current_database() and pid <> pg_backend_pid()";
        admin.execute(terminate).await.unwrap();
        worker.wait_for_acknowledged(1 + 50 * round).await;
    }

    worker.wait_for_acknowledged(501).await;
    assert_eq!(worker.take_replies(500).await.len(), 500);

    // Counted on the one connection that was not terminated: the pool may still hand out a closing one.
    for count in [
        "select count(*) from worker_order.orders",
        "select count(*) from worker_order.ledger where state = 'done'",
    ] {
        assert_eq!(
            sqlx::query_scalar::<_, i64>(count)
                .fetch_one(&mut admin)
                .await
                .unwrap(),
            501,
            "{count}"
        );
    }

    admin.close().await.unwrap();
    worker.stop().await;
    database.drop_database().await;
}

#[test]
fn pay_without_gateway_names_missing_setting() {
    let error = built_in("pay", &HandlerSettings::default()).expect_err("no gateway is configured");
    assert!(error.to_string().contains("PAYMENT_GATEWAY_URL"), "{error}");

    let error =
        built_in("cook", &HandlerSettings::default()).expect_err("the worker does not exist");
    assert_eq!(
        error.to_string(),
        "unknown worker \"cook\": expected one of order, pay, store, deliver"
    );
}
