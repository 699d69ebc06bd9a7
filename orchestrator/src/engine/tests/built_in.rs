//! The built-in workflows, completed and compensated.

use super::scripted_bus::Script;
use super::*;
use saga_core::definition::built_in::{BuiltIn, EVERYTHING, ORDER, TRANSFER, TRIP};
use saga_core::saga::{Status, StepStatus};
use saga_protocol::message::{EventType, Reply, ReplyOutcome};
use saga_protocol::{Action, Failure};
use serde_json::{Value, json};

/// Each workflow, an input that leads through all of its steps, and the step that fails to turn it.
fn cases() -> [(BuiltIn, Value, &'static str, &'static str); 4] {
    let everything = json!({"card": "c", "large": true, "lines": [{"item": "i"}]});
    let trip = json!({"traveller": "t", "from": "AMS", "to": "LIS", "car": true, "payment": {"token": "p"}});
    let transfer = json!({"from": "a", "to": "b", "amount": 1, "currency": "EUR"});
    [
        (ORDER, json!({"fulfilment": "delivery"}), "deliver", "gone"),
        (TRIP, trip, "payment", "card_declined"),
        (TRANSFER, transfer, "deposit", "account_closed"),
        (EVERYTHING, everything, "reserve", "sold_out"),
    ]
}

/// Every command completes, except that the given step fails with the given code, which is retryable unless it is `gone`.
fn workers(fails: Option<(&'static str, &'static str)>) -> Script {
    Box::new(move |command| {
        let failing =
            fails.filter(|(step, _)| command.step == *step && command.action == Action::Execute);
        let mut reply = Reply::new(
            command,
            if failing.is_some() {
                ReplyOutcome::Failed
            } else {
                ReplyOutcome::Completed
            },
        );
        reply.output = failing
            .is_none()
            .then(|| json!({"booking": "b", "id": "i"}).into());
        reply.error = failing.map(|(_, code)| Failure {
            retryable: code != "gone",
            ..Failure::permanent(code, "no")
        });
        vec![reply]
    })
}

async fn start_built_in(
    test: &TestEngine,
    built_in: BuiltIn,
    input: &Value,
) -> Result<Uuid, StartError> {
    let (known, _) = test
        .engine
        .definitions()
        .put(&*test.db, built_in.file, built_in.text)
        .await
        .expect("a definition");
    let id = Uuid::now_v7();
    let mut request = start_request(id, id.to_string());
    request.start.input = input.clone().into();
    request.workflow = known.definition.workflow.clone();
    test.engine.start(request).await.map(|_| id)
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_workflows_complete() {
    for (built_in, input, _, _) in cases() {
        let test = TestEngine::new(workers(None)).await;
        let id = start_built_in(&test, built_in, &input)
            .await
            .expect("started");
        let saga = test.wait_for(id, |saga| saga.status.is_finished()).await;
        assert_eq!(saga.status, Status::Completed, "{}", built_in.file);
        assert!(
            saga.steps
                .iter()
                .all(|step| step.status == StepStatus::Completed),
            "{}: {saga:?}",
            built_in.file
        );
        test.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_workflows_compensate_after_permanent_failure() {
    for (built_in, input, step, code) in cases() {
        let test = TestEngine::new(workers(Some((step, code)))).await;
        let id = start_built_in(&test, built_in, &input)
            .await
            .expect("started");
        let saga = test.wait_for(id, |saga| saga.status.is_finished()).await;
        assert_eq!(saga.status, Status::Compensated, "{}", built_in.file);
        let failed = saga.step(step).expect("it has that step");
        assert_eq!(
            failed.execute.attempt, 1,
            "{}: {code} is not retried",
            built_in.file
        );
        assert!(
            saga.steps.iter().all(|step| step.is_settled()),
            "{}: {saga:?}",
            built_in.file
        );
        test.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_with_schema_violation_sends_nothing() {
    let test = TestEngine::new(workers(None)).await;
    let rejected = start_built_in(
        &test,
        TRANSFER,
        &json!({"from": "a", "to": "b", "amount": 0, "currency": "EUR"}),
    )
    .await;
    let Err(StartError::SchemaViolation(violations)) = rejected else {
        panic!("{rejected:?}")
    };
    assert_eq!(
        violations
            .iter()
            .map(|violation| violation.pointer.as_str())
            .collect::<Vec<_>>(),
        ["/amount"]
    );
    assert_eq!(test.bus.commands.lock().expect("lock poisoned").len(), 0);
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_step_publishes_one_reminder() {
    const SLOW: BuiltIn = BuiltIn {
        file: "slow.yaml",
        text: "workflow: slow\nversion: 1\nsteps:\n  - { name: ask, timeout: 1h, reminder: 20ms }\n",
    };
    let test = TestEngine::new(Box::new(|command| {
        vec![Reply::new(command, ReplyOutcome::Accepted)]
    }))
    .await;
    let id = start_built_in(&test, SLOW, &json!({}))
        .await
        .expect("started");
    let reminded = |saga: &Saga| {
        saga.steps[0].status == StepStatus::Waiting && saga.steps[0].remind_at.is_none()
    };
    let saga = test.wait_for(id, reminded).await;
    assert_eq!(saga.revision, 3, "started, waiting, reminded");
    let complete = saga_core::transition::input::Complete {
        step: "ask".to_owned(),
        output: Payload::empty(),
        reason: String::new(),
        by: "test".to_owned(),
    };
    assert!(matches!(
        test.apply(id, Input::Complete(complete)).await,
        Ok(ApplyOutcome::Applied(_))
    ));
    test.wait_for(id, |saga| saga.status.is_finished()).await;
    let bus = Arc::clone(&test.bus);
    test.shutdown().await;
    let events = bus.events.lock().expect("lock poisoned").clone();
    let reminders: Vec<_> = events
        .iter()
        .filter(|event| event.event_type == EventType::StepReminder)
        .collect();
    assert_eq!(
        reminders
            .iter()
            .map(|event| event.step.as_deref())
            .collect::<Vec<_>>(),
        [Some("ask")]
    );
}
