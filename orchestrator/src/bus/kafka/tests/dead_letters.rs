//! Records that the engine cannot process.

use super::kit::*;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn c4_undecodable_reply_is_dead_lettered() {
    let Some(brokers) = brokers("c4_undecodable_reply_is_dead_lettered") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let saga = Uuid::now_v7();
    let key = saga.to_string();
    let headers = [
        ("ce_id", "x"),
        ("correlation-id", "c-1"),
        ("custom-header", "y"),
    ];
    let partition = world.reply(&key, b"{ garbage", &headers).await;
    world.reply(&key, &reply_json(saga, 2), &[]).await;
    let next = side.incoming().await;
    assert_eq!(next.reply.attempt, 2);
    next.ack.done();

    let letter = world.read("saga.dead-letters", 1).await.remove(0);
    assert_eq!(
        (letter.key.as_deref(), letter.value.as_deref()),
        (Some(key.as_str()), Some("{ garbage"))
    );
    for (name, value) in headers {
        assert_eq!(letter.header(name), Some(value));
    }
    let reason = letter.header("dead-letter-reason").unwrap();
    assert!(
        reason.starts_with("the record is not a reply: "),
        "{reason}"
    );
    let from = format!("{}saga.replies/{partition}/0", world.settings.topic_prefix);
    assert_eq!(letter.header("dead-letter-from"), Some(from.as_str()));
    let at = letter.header("dead-letter-at").unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(at).is_ok(), "{at}");

    world.committed_up_to(partition, 2).await;
    side.bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_rejected_record_is_dead_lettered_unchanged() {
    let Some(brokers) = brokers("c4_rejected_record_is_dead_lettered_unchanged") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let saga = Uuid::now_v7();
    let key = saga.to_string();
    // Unknown fields, blanks and a NUL, which no database text may contain: kept byte for byte.
    let value = format!(
        r#"{{ "saga_id":"{saga}", "step":"pay","action":"execute","attempt":1,"outcome":"completed",
            "output":{{"note":"a\u0000b"}}, "more": 1 }}"#
    );
    let partition = world
        .reply(&key, value.as_bytes(), &[("custom-header", "y")])
        .await;
    world.reply(&key, &reply_json(saga, 2), &[]).await;
    side.incoming()
        .await
        .ack
        .reject("the database does not accept a NUL");
    side.incoming().await.ack.done();
    let letter = world.read("saga.dead-letters", 1).await.remove(0);
    assert_eq!(
        (letter.key.as_ref(), letter.value.as_ref()),
        (Some(&key), Some(&value))
    );
    assert_eq!(
        letter.headers[0],
        ("custom-header".to_owned(), "y".to_owned())
    );
    assert_eq!(
        letter.header("dead-letter-reason"),
        Some("the database does not accept a NUL")
    );
    world.committed_up_to(partition, 2).await;
    side.bus.close().await;
}
