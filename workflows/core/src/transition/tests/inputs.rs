//! The exact text of every input in the history.

use crate::transition::Input;
use crate::transition::input::{
    Complete, Fail, OperatorRequest, RecordedInput, Resolve, Start, Timer, Undeliverable,
};
use saga_protocol::message::{Command, CommandInput, Reply, ReplyOutcome};
use saga_protocol::{Action, Failure, Payload, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;
use uuid::Uuid;

const AT: Time = Time::from_micros(1_767_225_600_000_001);
const ID: Uuid = Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001);

/// It is written so, and read back as what it was.
#[track_caller]
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, text: &str) {
    assert_eq!(serde_json::to_string(value).unwrap(), text);
    assert_eq!(&serde_json::from_str::<T>(text).unwrap(), value);
}

fn payload(text: &str) -> Payload {
    Payload::parse(text.to_owned()).unwrap()
}

fn command(action: Action) -> Command {
    let back = action == Action::Compensate;
    Command {
        saga_id: ID,
        workflow: "order".to_owned(),
        version: 1,
        key: "k-1".to_owned(),
        step: "pay".to_owned(),
        action,
        attempt: 2,
        revision: 5,
        decided_at: AT,
        deadline: AT + Duration::from_secs(7200),
        happened: back.then_some(true),
        revoke_only: false,
        input: CommandInput {
            input: payload(r#"{"b":1,  "a":1.50}"#),
            steps: BTreeMap::from([("order".to_owned(), payload(r#"{"amount":1100}"#))]),
        },
    }
}

#[test]
fn history_text_of_every_input() {
    let asked = || OperatorRequest {
        reason: "customer".to_owned(),
        by: "customer-7".to_owned(),
    };
    let by = || "operator-1".to_owned();
    let step = || "store".to_owned();
    let inputs = [
        (
            Input::Start(Start {
                saga_id: ID,
                key: "k-1".to_owned(),
                correlation_id: "c-1".to_owned(),
                input: payload(r#"{"b": 1, "a": 1.50}"#),
                by: by(),
            }),
            r#"{"type":"start","saga_id":"01930000-0000-7000-8000-000000000001","key":"k-1","correlation_id":"c-1","input":{"b": 1, "a": 1.50},"by":"operator-1"}"#,
        ),
        (
            Input::Reply(Reply {
                output: Some(payload(r#"{"n":12345678901234567890123}"#)),
                ..Reply::new(&command(Action::Execute), ReplyOutcome::Completed)
            }),
            r#"{"type":"reply","saga_id":"01930000-0000-7000-8000-000000000001","step":"pay","action":"execute","attempt":2,"outcome":"completed","output":{"n":12345678901234567890123}}"#,
        ),
        (Input::Timer(Timer::default()), r#"{"type":"timer"}"#),
        (
            Input::Timer(Timer {
                unconsumed: true,
                steps: vec![step()],
            }),
            r#"{"type":"timer","unconsumed":true,"steps":["store"]}"#,
        ),
        (
            Input::Cancel(asked()),
            r#"{"type":"cancel","reason":"customer","by":"customer-7"}"#,
        ),
        (
            Input::Complete(Complete {
                step: step(),
                output: Payload::null(),
                reason: String::new(),
                by: by(),
            }),
            r#"{"type":"complete","step":"store","output":null,"by":"operator-1"}"#,
        ),
        (
            Input::Fail(Fail {
                step: step(),
                error: Failure::permanent("closed", "no cook"),
                by: by(),
            }),
            r#"{"type":"fail","step":"store","error":{"code":"closed","message":"no cook","retryable":false},"by":"operator-1"}"#,
        ),
        (
            Input::Retry(asked()),
            r#"{"type":"retry","reason":"customer","by":"customer-7"}"#,
        ),
        (
            Input::Pause(asked()),
            r#"{"type":"pause","reason":"customer","by":"customer-7"}"#,
        ),
        (
            Input::Resume(asked()),
            r#"{"type":"resume","reason":"customer","by":"customer-7"}"#,
        ),
        (
            Input::Resolve(Resolve {
                step: step(),
                note: "refunded by hand".to_owned(),
                by: by(),
            }),
            r#"{"type":"resolve","step":"store","note":"refunded by hand","by":"operator-1"}"#,
        ),
        (
            Input::Undeliverable(Undeliverable {
                step: step(),
                action: Action::Execute,
                attempt: 1,
                message: "too large".to_owned(),
            }),
            r#"{"type":"undeliverable","step":"store","action":"execute","attempt":1,"message":"too large"}"#,
        ),
    ];
    for (input, text) in inputs {
        golden(&input, text);
        let text = format!(r#"{{"at":"2026-01-01T00:00:00.000001Z","input":{text}}}"#);
        golden(&RecordedInput { at: AT, input }, &text);
    }
}
