//! The workers built_in, on both databases, driven over a bus in memory.

use crate::support::{Home, Running, attempt, compensate, execute, gist, homes, with_token};
use saga_protocol::Payload;
use saga_protocol::message::ReplyOutcome::{Accepted, Completed, Failed};
use saga_protocol::message::{Command, CommandInput};
use saga_worker::ledger::{Completion, finish};
use sqlx::{Connection, Executor};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use workers::gateway::Gateway;
use workers::handlers::{Auto, HandlerSettings, PaymentMode, built_in};

async fn run(name: &str, home: &Home, settings: &HandlerSettings) -> Running {
    Running::start(built_in(name, settings).unwrap(), home).await
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
async fn every_step_is_done_repeated_from_the_ledger_and_undone() {
    for home in homes("every_step_is_done_repeated_from_the_ledger_and_undone").await {
        for name in ["order", "pay", "store", "deliver"] {
            let worker = run(name, &home, &inside()).await;
            let command = execute(name);
            let first = worker.bus.ask(command.clone()).await;
            assert_eq!(
                gist(&first),
                (Completed, false, ""),
                "{name} on {}",
                home.kind
            );
            assert_eq!(
                worker.bus.ask(command.clone()).await,
                first,
                "a repeated command gets the same answer"
            );
            assert_eq!(
                gist(&worker.bus.ask(compensate(&command)).await),
                (Completed, false, "")
            );
            assert_eq!(
                gist(&worker.bus.ask(command).await),
                (Failed, false, "revoked")
            );
            worker.bus.acked(4).await;
            worker.stop().await;
        }
        home.leave().await;
    }
}

#[tokio::test]
async fn many_at_once_are_one_batch_and_each_is_answered() {
    for home in homes("many_at_once_are_one_batch_and_each_is_answered").await {
        let mut commands: Vec<Command> = (0..300).map(|_| execute("order")).collect();
        commands[17].input = priced("north", 1);
        commands[18].input = CommandInput {
            input: Payload::encode("nonsense").unwrap(),
            ..CommandInput::default()
        };
        let spec = built_in("order", &inside()).unwrap();
        let worker = Running::start_with(
            spec,
            &home,
            saga_worker::WorkerSettings::default(),
            &commands,
        )
        .await;
        let replies = worker.bus.replies(300).await;
        let failed: Vec<_> = replies
            .iter()
            .filter(|reply| reply.outcome == Failed)
            .map(|reply| gist(reply).2)
            .collect();
        assert_eq!(failed, ["price_changed", "invalid_order"]);
        assert_eq!(worker.count("select count(*) from orders").await, 298);
        worker.stop().await;
        home.leave().await;
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
async fn an_item_on_the_menu_costs_what_the_menu_says() {
    for home in homes("an_item_on_the_menu_costs_what_the_menu_says").await {
        let worker = run("order", &home, &inside()).await;
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
            let reply = worker.bus.ask(command.clone()).await;
            assert_eq!(gist(&reply).2, code, "{store} {price}");
            if code.is_empty() {
                let output: serde_json::Value = reply.output.unwrap().decode().unwrap();
                let expected = serde_json::json!({ "order_id": command.key, "amount": 2 * price, "currency": "EUR" });
                assert_eq!(output, expected);
            }
        }
        worker.stop().await;
        home.leave().await;
    }
}

#[tokio::test]
async fn b5_an_accepted_step_ends_when_its_time_comes_even_after_a_restart() {
    for home in homes("b5_an_accepted_step_ends_when_its_time_comes_even_after_a_restart").await {
        for name in ["store", "deliver"] {
            let settings = auto(Auto::After(Duration::from_millis(300)));
            let worker = run(name, &home, &settings).await;
            let command = execute(name);
            assert_eq!(
                gist(&worker.bus.ask(command.clone()).await),
                (Accepted, false, "")
            );
            worker.kill().await;
            let worker = run(name, &home, &settings).await;
            let news = worker.bus.replies(1).await.remove(0);
            assert_eq!(
                gist(&news),
                (Completed, false, ""),
                "{name} on {}",
                home.kind
            );
            assert_eq!((news.saga_id, news.attempt), (command.saga_id, 1));
            let again = worker.bus.ask(attempt(&command, 2)).await;
            assert_eq!(
                (again.outcome, again.output),
                (Completed, news.output),
                "asked again, the ledger knows"
            );
            worker.stop().await;
        }
        home.leave().await;
    }
}

#[tokio::test]
async fn b5_what_is_compensated_while_it_waits_never_completes() {
    for home in homes("b5_what_is_compensated_while_it_waits_never_completes").await {
        let worker = run(
            "store",
            &home,
            &auto(Auto::After(Duration::from_millis(200))),
        )
        .await;
        let command = execute("store");
        assert_eq!(
            gist(&worker.bus.ask(command.clone()).await),
            (Accepted, false, "")
        );
        assert_eq!(
            gist(&worker.bus.ask(compensate(&command)).await),
            (Completed, false, "")
        );
        // Another that is accepted after it is told of; by then the first one's time is long over.
        let other = execute("store");
        assert_eq!(
            gist(&worker.bus.ask(other.clone()).await),
            (Accepted, false, "")
        );
        let news = worker.bus.replies(1).await;
        assert_eq!((news.len(), news[0].saga_id), (1, other.saga_id));
        assert_eq!(
            worker
                .count("select count(*) from tickets where status = 'withdrawn'")
                .await,
            1
        );
        assert_eq!(
            worker
                .count("select count(*) from tickets where status = 'confirmed'")
                .await,
            1
        );
        worker.stop().await;
        home.leave().await;
    }
}

#[tokio::test]
async fn b5_somebody_ends_a_waiting_step_once_and_the_orchestrator_is_told() {
    for home in homes("b5_somebody_ends_a_waiting_step_once_and_the_orchestrator_is_told").await {
        let worker = run("store", &home, &auto(Auto::Off)).await;
        let command = execute("store");
        assert_eq!(
            gist(&worker.bus.ask(command.clone()).await),
            (Accepted, false, "")
        );
        for first in [true, false] {
            let mut tx = worker.ledger.begin().await.unwrap();
            let ended = Completion::Completed(serde_json::json!({ "by": "the kitchen" }).into());
            assert_eq!(
                finish(&mut tx, command.saga_id, "store", ended)
                    .await
                    .unwrap(),
                first
            );
            tx.commit().await.unwrap();
        }
        let news = worker.bus.replies(1).await.remove(0);
        assert_eq!(news.output.unwrap().get(), r#"{"by":"the kitchen"}"#);
        worker.stop().await;
        home.leave().await;
    }
}

/// A gateway of the test's own, and its address.
async fn gateway() -> (String, CancellationToken) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    tokio::spawn(Gateway::in_memory().serve(listener, shutdown.clone()));
    (url, shutdown)
}

fn paying(token: &str) -> Command {
    Command {
        input: with_token(token),
        ..execute("pay")
    }
}

/// Tries until it is not retryable any more. Returns the attempts, and the code of the last.
async fn tried(worker: &Running, command: &Command) -> (u32, String) {
    for n in 1..20 {
        let reply = worker.bus.ask(attempt(command, n)).await;
        let retryable = reply.error.as_ref().is_some_and(|error| error.retryable);
        if !retryable {
            return (n, gist(&reply).2.to_owned());
        }
    }
    panic!("it does not end");
}

#[tokio::test]
async fn pay_charges_once_whatever_the_gateway_does() {
    let home = crate::support::sqlite();
    let (url, shutdown) = gateway().await;
    let settings = HandlerSettings {
        payment: Some(PaymentMode::Gateway(url.clone())),
        ..HandlerSettings::default()
    };
    let worker = run("pay", &home, &settings).await;
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
    let books: workers::gateway::ChargeReport = reqwest::get(format!("{url}/books"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(books.charges.keys().cloned().collect::<Vec<_>>(), charged);
    worker.stop().await;
    shutdown.cancel();
}

#[tokio::test]
async fn pay_refunds_what_was_charged_and_voids_what_may_have_been() {
    let home = crate::support::sqlite();
    let (url, shutdown) = gateway().await;
    let settings = HandlerSettings {
        payment: Some(PaymentMode::Gateway(url.clone())),
        ..HandlerSettings::default()
    };
    let worker = run("pay", &home, &settings).await;

    let flaky = paying("tok_refund_flaky");
    worker.bus.ask(flaky.clone()).await;
    assert_eq!(
        tried(&worker, &compensate(&flaky)).await,
        (3, String::new())
    );

    // The answer to the charge was lost: the void learns that it happened, and it is refunded.
    let lost = paying("tok_lost");
    assert_eq!(
        gist(&worker.bus.ask(lost.clone()).await),
        (Failed, false, "unknown")
    );
    assert_eq!(
        gist(&worker.bus.ask(compensate(&lost)).await),
        (Completed, false, "")
    );

    // Nothing was charged, but nobody knew: it is voided, and stays uncharged when the gateway is back.
    let out = paying("tok_outage");
    assert_eq!(
        gist(&worker.bus.ask(out.clone()).await),
        (Failed, false, "unknown")
    );
    assert_eq!(
        gist(&worker.bus.ask(compensate(&out)).await),
        (Completed, true, "")
    );

    let never = paying("tok_refund_never");
    worker.bus.ask(never.clone()).await;
    assert_eq!(
        gist(&worker.bus.ask(compensate(&never)).await),
        (Failed, false, "unknown")
    );
    reqwest::Client::new()
        .post(format!("{url}/admin/heal"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        gist(&worker.bus.ask(attempt(&compensate(&never), 2)).await),
        (Completed, false, "")
    );

    let books: workers::gateway::ChargeReport = reqwest::get(format!("{url}/books"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (books.charges.len(), books.refunds.len(), books.voided.len()),
        (3, 3, 1)
    );
    let mut effects = workers::reconcile::Effects::default();
    workers::reconcile::read_workers(&home.target, &mut effects)
        .await
        .unwrap();
    workers::reconcile::read_gateway(&url, &mut effects)
        .await
        .unwrap();
    assert_eq!(
        (effects.sagas(), workers::reconcile::check(&effects)),
        (4, Vec::new())
    );
    worker.stop().await;
    shutdown.cancel();
}

#[tokio::test]
async fn a_worker_survives_its_database_going_away() {
    let Some(home) = crate::support::postgres("a_worker_survives_its_database_going_away").await
    else {
        return;
    };
    let worker = run("order", &home, &inside()).await;
    worker.bus.ask(execute("order")).await;
    let mut killer = sqlx::PgConnection::connect(home.url()).await.unwrap();
    for round in 1..=5 {
        (0..100).for_each(|_| worker.bus.push(execute("order")));
        let killed = "select pg_terminate_backend(pid) from pg_stat_activity
                      where datname = current_database() and pid <> pg_backend_pid()";
        killer.execute(killed).await.unwrap();
        worker.bus.acked(1 + 50 * round).await;
    }
    worker.bus.acked(501).await;
    assert_eq!(worker.bus.replies(500).await.len(), 500);
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
    home.leave().await;
}

#[test]
fn pay_without_a_gateway_says_what_is_missing() {
    let error = built_in("pay", &HandlerSettings::default()).expect_err("there is nobody to ask");
    assert!(error.to_string().contains("PAYMENT_GATEWAY_URL"), "{error}");
    let nobody =
        built_in("cook", &HandlerSettings::default()).expect_err("there is no such worker");
    assert_eq!(
        nobody.to_string(),
        "there is no worker \"cook\"; there are: order, pay, store, deliver"
    );
}
