//! The exact text of every message and its headers, which are a public contract.

use super::*;
use crate::status::{Status, StepStatus};
use crate::{Action, Failure};
use crate::{Payload, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;
use uuid::Uuid;

const NOW: Time = Time::from_micros(1_767_225_600_000_001);
const SAGA_ID: Uuid = Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001);

/// Asserts that the value serializes to the text and round-trips.
#[track_caller]
fn assert_text<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, text: &str) {
    assert_eq!(serde_json::to_string(value).unwrap(), text);
    assert_eq!(&serde_json::from_str::<T>(text).unwrap(), value);
}

fn payload(text: &str) -> Payload {
    Payload::parse(text.to_owned()).unwrap()
}

fn command(action: Action) -> Command {
    let compensates = action == Action::Compensate;
    Command {
        saga_id: SAGA_ID,
        workflow: "order".to_owned(),
        version: 1,
        key: "k-1".to_owned(),
        step: "pay".to_owned(),
        action,
        attempt: 2,
        revision: 5,
        decided_at: NOW,
        deadline: NOW + Duration::from_secs(7200),
        happened: compensates.then_some(true),
        revoke_only: false,
        input: CommandInput {
            input: payload(r#"{"b":1,  "a":1.50}"#),
            steps: BTreeMap::from([("order".to_owned(), payload(r#"{"amount":1100}"#))]),
        },
    }
}

#[test]
fn execute_command_text() {
    assert_text(
        &command(Action::Execute),
        r#"{"saga_id":"01930000-0000-7000-8000-000000000001","workflow":"order","version":1,"key":"k-1","step":"pay","action":"execute","attempt":2,"revision":5,"decided_at":"2026-01-01T00:00:00.000001Z","deadline":"2026-01-01T02:00:00.000001Z","input":{"input":{"b":1,  "a":1.50},"steps":{"order":{"amount":1100}}}}"#,
    );
}

#[test]
fn compensate_command_text() {
    assert_text(
        &command(Action::Compensate),
        r#"{"saga_id":"01930000-0000-7000-8000-000000000001","workflow":"order","version":1,"key":"k-1","step":"pay","action":"compensate","attempt":2,"revision":5,"decided_at":"2026-01-01T00:00:00.000001Z","deadline":"2026-01-01T02:00:00.000001Z","happened":true,"input":{"input":{"b":1,  "a":1.50},"steps":{"order":{"amount":1100}}}}"#,
    );
    let revoke = Command {
        revoke_only: true,
        happened: Some(false),
        ..command(Action::Compensate)
    };
    assert_text(
        &revoke,
        r#"{"saga_id":"01930000-0000-7000-8000-000000000001","workflow":"order","version":1,"key":"k-1","step":"pay","action":"compensate","attempt":2,"revision":5,"decided_at":"2026-01-01T00:00:00.000001Z","deadline":"2026-01-01T02:00:00.000001Z","happened":false,"revoke_only":true,"input":{"input":{"b":1,  "a":1.50},"steps":{"order":{"amount":1100}}}}"#,
    );
}

#[test]
fn command_and_reply_ids() {
    let command = command(Action::Execute);
    assert_eq!(
        command.id(),
        "01930000-0000-7000-8000-000000000001:pay:execute:2"
    );
    assert_eq!(
        command.idempotency_key(),
        "01930000-0000-7000-8000-000000000001:pay:execute"
    );
    let reply = Reply::new(&command, ReplyOutcome::Failed);
    assert_eq!(
        reply.id(),
        "01930000-0000-7000-8000-000000000001:pay:execute:2:failed"
    );
}

#[test]
fn reply_text_by_outcome() {
    let reply = |outcome| Reply::new(&command(Action::Execute), outcome);
    assert_text(
        &Reply {
            output: Some(payload(r#"{"payment":"p-1"}"#)),
            ..reply(ReplyOutcome::Completed)
        },
        r#"{"saga_id":"01930000-0000-7000-8000-000000000001","step":"pay","action":"execute","attempt":2,"outcome":"completed","output":{"payment":"p-1"}}"#,
    );
    assert_text(
        &reply(ReplyOutcome::Accepted),
        r#"{"saga_id":"01930000-0000-7000-8000-000000000001","step":"pay","action":"execute","attempt":2,"outcome":"accepted"}"#,
    );
    assert_text(
        &Reply {
            retry_after: Some(Duration::from_secs(90)),
            error: Some(Failure::retryable("closed", "the store opens at 8")),
            ..reply(ReplyOutcome::Deferred)
        },
        r#"{"saga_id":"01930000-0000-7000-8000-000000000001","step":"pay","action":"execute","attempt":2,"outcome":"deferred","retry_after":"1m 30s","error":{"code":"closed","message":"the store opens at 8","retryable":true}}"#,
    );
    assert_text(
        &Reply {
            error: Some(Failure::permanent("declined", "no funds")),
            ..reply(ReplyOutcome::Failed)
        },
        r#"{"saga_id":"01930000-0000-7000-8000-000000000001","step":"pay","action":"execute","attempt":2,"outcome":"failed","error":{"code":"declined","message":"no funds","retryable":false}}"#,
    );
    assert_text(
        &Reply {
            empty: true,
            ..Reply::new(&command(Action::Compensate), ReplyOutcome::Completed)
        },
        r#"{"saga_id":"01930000-0000-7000-8000-000000000001","step":"pay","action":"compensate","attempt":2,"outcome":"completed","empty":true}"#,
    );
}

#[test]
fn reply_with_null_fields_is_accepted() {
    let text = r#"{"saga_id":"01930000-0000-7000-8000-000000000001","step":"pay","action":"execute","attempt":2,"outcome":"completed","output":null,"empty":false,"retry_after":null,"error":null}"#;
    let reply: Reply = serde_json::from_str(text).unwrap();
    assert_eq!(
        reply,
        Reply {
            output: Some(Payload::null()),
            ..Reply::new(&command(Action::Execute), ReplyOutcome::Completed)
        }
    );
}

#[test]
fn invalid_reply_is_rejected() {
    let is_valid = |outcome: &str| {
        let text = format!(
            r#"{{"saga_id":"{SAGA_ID}","step":"pay","action":"execute","attempt":2,"outcome":{outcome}}}"#
        );
        serde_json::from_str::<Reply>(&text).is_ok()
    };
    assert!(is_valid(r#""completed""#));
    assert!(!is_valid(r#""done""#));
    assert!(!is_valid("null"));
    assert!(!is_valid(r#""completed","attempt":2"#), "duplicate field");
}

#[test]
fn event_text() {
    let event = Event {
        saga_id: SAGA_ID,
        workflow: "order".to_owned(),
        version: 1,
        key: "k-1".to_owned(),
        revision: 5,
        event_type: EventType::StepCompleted,
        status: Status::Running,
        steps: BTreeMap::from([
            ("order".to_owned(), StepStatus::Completed),
            ("pay".to_owned(), StepStatus::Running),
        ]),
        step: Some("order".to_owned()),
        at: NOW,
        data: payload(r#"{"attempt":1}"#),
    };
    assert_text(
        &event,
        r#"{"saga_id":"01930000-0000-7000-8000-000000000001","workflow":"order","version":1,"key":"k-1","revision":5,"type":"step.completed","status":"running","steps":{"order":"completed","pay":"running"},"step":"order","at":"2026-01-01T00:00:00.000001Z","data":{"attempt":1}}"#,
    );
    assert_eq!(event.id(), "01930000-0000-7000-8000-000000000001:5");
    let whole = Event {
        step: None,
        event_type: EventType::SagaStarted,
        ..event
    };
    assert!(
        serde_json::to_string(&whole)
            .unwrap()
            .contains(r#""step":null"#)
    );
}

#[test]
fn event_type_names() {
    let names: Vec<_> = EventType::ALL
        .iter()
        .map(|event_type| event_type.as_str())
        .collect();
    assert_eq!(
        names.join(" "),
        "saga.started saga.cancelling saga.compensating saga.completed saga.compensated saga.parked saga.paused \
         saga.resumed step.started step.waiting step.completed step.failed step.skipped step.reminder \
         step.compensating step.compensated"
    );
    for event_type in EventType::ALL {
        assert_text(event_type, &format!("\"{}\"", event_type.as_str()));
    }
}

#[test]
fn heartbeat_text() {
    assert_text(
        &WorkerHeartbeat {
            worker: "pay".to_owned(),
            member: "pay-7".to_owned(),
            at: NOW,
            in_flight: 3,
            limit: 16,
            build: "0.1.0".to_owned(),
            serves: vec![ServedStep {
                workflow: "order".to_owned(),
                step: "pay".to_owned(),
            }],
            breakers: BTreeMap::from([("gateway".to_owned(), BreakerState::HalfOpen)]),
            read: Some(BTreeMap::from([(0, 17), (11, 0)])),
        },
        r#"{"worker":"pay","member":"pay-7","at":"2026-01-01T00:00:00.000001Z","in_flight":3,"limit":16,"build":"0.1.0","serves":[{"workflow":"order","step":"pay"}],"breakers":{"gateway":"half_open"},"read":{"0":17,"11":0}}"#,
    );
}

#[test]
fn heartbeat_without_positions_is_accepted() {
    let older = r#"{"worker":"pay","member":"pay-7","at":"2026-01-01T00:00:00.000001Z","in_flight":3,"limit":16,"build":"0.1.0","serves":[]}"#;
    assert_eq!(
        serde_json::from_str::<WorkerHeartbeat>(older).unwrap().read,
        None
    );
}

#[test]
fn record_headers() {
    let envelope = Envelope {
        correlation_id: Some("c-1".to_owned()),
        traceparent: Some("00-ab-cd-01".to_owned()),
    };
    let record = OutboxMessage::command("pay", &command(Action::Execute), envelope).unwrap();
    assert_eq!(
        (record.topic.to_string().as_str(), record.key.as_str()),
        ("saga.commands.pay", SAGA_ID.to_string().as_str())
    );
    let headers: Vec<_> = record
        .headers("orchestrator-1")
        .into_iter()
        .map(|(name, text)| format!("{name}: {text}"))
        .collect();
    assert_eq!(
        headers.join("\n"),
        "ce_id: 01930000-0000-7000-8000-000000000001:pay:execute:2\n\
         ce_source: orchestrator-1\n\
         ce_specversion: 1.0\n\
         ce_type: saga.command\n\
         ce_time: 2026-01-01T00:00:00.000001Z\n\
         ce_subject: 01930000-0000-7000-8000-000000000001\n\
         content-type: application/json\n\
         correlation-id: c-1\n\
         traceparent: 00-ab-cd-01"
    );
    let reply = OutboxMessage::reply(
        &Reply::new(&command(Action::Execute), ReplyOutcome::Accepted),
        NOW,
        Envelope::default(),
    )
    .unwrap();
    assert_eq!(
        (reply.topic.to_string().as_str(), &*reply.message_type),
        ("saga.replies", "saga.reply")
    );
    assert_eq!(reply.headers("pay-7").len(), 7);
    let topics = [Topic::Events, Topic::Workers, Topic::DeadLetters].map(|topic| topic.to_string());
    assert_eq!(topics, ["saga.events", "saga.workers", "saga.dead-letters"]);
}

#[test]
fn outbox_message_text() {
    let envelope = Envelope {
        correlation_id: Some("c-1".to_owned()),
        traceparent: None,
    };
    let reply = Reply::new(&command(Action::Execute), ReplyOutcome::Accepted);
    assert_text(
        &OutboxMessage::reply(&reply, NOW, envelope).unwrap(),
        r#"{"topic":"replies","key":"01930000-0000-7000-8000-000000000001","id":"01930000-0000-7000-8000-000000000001:pay:execute:2:accepted","type":"saga.reply","at":"2026-01-01T00:00:00.000001Z","correlation_id":"c-1","value":{"saga_id":"01930000-0000-7000-8000-000000000001","step":"pay","action":"execute","attempt":2,"outcome":"accepted"}}"#,
    );
    assert_text(&Topic::Commands("pay".to_owned()), r#"{"commands":"pay"}"#);
}
