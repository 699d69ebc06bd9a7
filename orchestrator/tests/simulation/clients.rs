//! Clients that start and cancel sagas, and operators. In the end operators see to it that no saga
//! stays parked or paused.

use crate::event_queue::SimEvent;
use crate::faults::Fault;
use crate::world::{State, World};
use orchestrator::engine::{
    ApplyError, ApplyOutcome, EngineHandle, IdempotencyKey, StartError, StartOutcome, StartRequest,
    SubmitError,
};
use saga_core::saga::{Saga, Status, Step};
use saga_core::transition::Input;
use saga_core::transition::input::{Complete, Fail, OperatorRequest, Resolve, Start};
use saga_protocol::Failure;
use saga_protocol::Payload;
use saga_protocol::message::code;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// An action of a client or an operator.
#[derive(Clone)]
pub enum ClientAction {
    /// The client with this index starts a saga, or retries the start.
    Start(usize),
    /// The saga's client cancels it.
    Cancel(Uuid),
    /// An operator applies a random input to a random saga.
    OperatorAction,
    /// After the faults, operators resume what is paused and retry what is parked.
    OperatorRound,
}

/// A client, which starts one saga.
pub struct Client {
    workflow: String,
    input: Payload,
    /// Idempotency key. A client without one does not retry a start.
    key: Option<String>,
    pub saga: Option<Uuid>,
    pub gave_up: bool,
}

/// All clients.
#[derive(Default)]
pub struct Clients {
    pub all: Vec<Client>,
    /// Clients without an answer to their start.
    pub open: usize,
    sagas: u64,
    /// Sagas whose cancel was applied.
    pub cancelled: BTreeSet<Uuid>,
    /// Steps that an operator settled: their effects are not checked.
    pub settled_by_operator: BTreeSet<(Uuid, String)>,
}

fn reason() -> OperatorRequest {
    OperatorRequest {
        reason: "because".to_owned(),
        by: "client".to_owned(),
    }
}

/// The input by which an operator resumes the saga. A retry does not help a compensation whose
/// ledger has no row, because an operator completed the action.
fn recovery_input(saga: &Saga) -> Input {
    let lost = |step: &&Step| {
        let error = step
            .compensation
            .as_ref()
            .and_then(|compensation| compensation.attempts.error.as_ref());
        step.needs_operator() && error.is_some_and(|error| error.code == code::LEDGER_LOST)
    };
    match saga.steps.iter().find(lost) {
        _ if saga.paused => Input::Resume(reason()),
        Some(step) => Input::Resolve(Resolve {
            step: step.name.clone(),
            note: "settled".to_owned(),
            by: "operator".to_owned(),
        }),
        None => Input::Retry(reason()),
    }
}

impl State {
    /// Adds a client that starts its saga at that time.
    pub fn client(&mut self, workflow: &str, at: u64) {
        let number = self.clients.all.len();
        let flags: Vec<bool> = (0..3).map(|_| self.rng.below(2) == 0).collect();
        let flags = serde_json::json!({ "a": flags[0], "b": flags[1], "c": flags[2] });
        let key = (self.rng.below(2) == 0).then(|| format!("o-{number}"));
        let repeatable = key.is_some();
        let input = Payload::from(serde_json::json!({ "flags": flags, "secret": "s" }));
        let workflow = workflow.to_owned();
        self.clients.all.push(Client {
            workflow,
            input,
            key,
            saga: None,
            gave_up: false,
        });
        self.clients.open += 1;
        self.event_queue
            .add(at, SimEvent::ClientAction(ClientAction::Start(number)));
        if repeatable && self.strikes(Fault::CallerRepeats) {
            self.event_queue
                .add(at, SimEvent::ClientAction(ClientAction::Start(number)));
        }
    }

    fn start_request(&mut self, number: usize) -> StartRequest {
        self.clients.sagas += 1;
        // Ids increase as UUIDv7 do. The last byte, which selects the partition, is random.
        let id = (u128::from(self.clients.sagas) << 64) | u128::from(self.rng.next());
        let saga_id = Uuid::from_u128(id);
        let client = &self.clients.all[number];
        let key = client.key.clone().unwrap_or_else(|| saga_id.to_string());
        let idempotency_key = client.key.clone().map(|key| IdempotencyKey {
            scope: "customers".to_owned(),
            key,
            body_hash: Vec::new(),
            answer: |_, saga, _| saga.id.as_bytes().to_vec(),
        });
        let start = Start {
            saga_id,
            key,
            correlation_id: "c".to_owned(),
            input: client.input.clone(),
            by: "client".to_owned(),
        };
        StartRequest {
            workflow: client.workflow.clone(),
            version: None,
            idempotency_key,
            start,
        }
    }

    /// Handles the answer to a start. Without one, a client with an idempotency key retries.
    fn started(&mut self, number: usize, answer: Option<Result<StartOutcome, StartError>>) {
        let saga = match answer {
            Some(Ok(StartOutcome::Started(saga))) => Some(saga.id),
            Some(Ok(StartOutcome::Repeated { saga_id, .. })) => Some(saga_id),
            Some(Err(StartError::KeyTaken { saga_id, .. })) => Some(saga_id),
            None
            | Some(Err(StartError::Submit(
                SubmitError::Overloaded { .. }
                | SubmitError::Unavailable
                | SubmitError::ShuttingDown,
            ))) => None,
            Some(other) => {
                return self
                    .report_violation(format!("C8: unexpected answer to a start: {other:?}"));
            }
        };
        match saga {
            Some(saga) => self.saga_started(number, saga),
            None if self.clients.all[number].key.is_some() => {
                let again = self.rng.between(100_000, 2_000_000);
                self.schedule_in(again, SimEvent::ClientAction(ClientAction::Start(number)));
            }
            None => {
                self.clients.all[number].gave_up = true;
                self.clients.open -= 1;
            }
        }
    }

    fn saga_started(&mut self, number: usize, saga: Uuid) {
        if !self.tables.sagas.contains_key(&saga) {
            self.report_violation(format!(
                "I1: saga {saga} was acknowledged, and is not stored"
            ));
        }
        let client = &mut self.clients.all[number];
        match client.saga {
            Some(first) if first != saga && client.key.is_some() => {
                self.report_violation(format!("C8: sagas {first} and {saga} have the same key"));
            }
            Some(_) => {}
            None => {
                client.saga = Some(saga);
                self.clients.open -= 1;
                if self.strikes(Fault::Cancelled) {
                    let most = 1 << self.rng.between(10, 25);
                    let after = self.rng.between(1_000, most);
                    self.schedule_in(after, SimEvent::ClientAction(ClientAction::Cancel(saga)));
                }
            }
        }
    }

    /// A random operator input for a random unfinished saga.
    fn random_operator_input(&mut self) -> Option<(Uuid, Input)> {
        let from = Uuid::from_u128(u128::from(self.rng.below(self.clients.sagas + 1)) << 64);
        let (id, stored) = self
            .tables
            .sagas
            .range(from..)
            .find(|(_, stored)| !stored.row.status.is_finished())?;
        let id = *id;
        let saga = Saga::from_json(&stored.row.state).ok()?;
        let step = saga.steps[self.rng.index(saga.steps.len())].name.clone();
        let by = || "operator".to_owned();
        let input = match self.rng.below(8) {
            0 => Input::Pause(reason()),
            1 | 2 => Input::Resume(reason()),
            3 => Input::Retry(reason()),
            4 => Input::Complete(Complete {
                step,
                output: Payload::empty(),
                reason: String::new(),
                by: by(),
            }),
            5 => Input::Fail(Fail {
                step,
                error: Failure::permanent("by_hand", "no"),
                by: by(),
            }),
            6 => Input::Cancel(reason()),
            _ => Input::Resolve(Resolve {
                step,
                note: "settled".to_owned(),
                by: by(),
            }),
        };
        Some((id, input))
    }

    /// Checks the answer to an input.
    fn answered(
        &mut self,
        id: Uuid,
        input: &Input,
        answer: Option<Result<ApplyOutcome, ApplyError>>,
    ) {
        let moved = match answer {
            Some(Ok(ApplyOutcome::Applied(saga))) => saga,
            Some(Err(ApplyError::Submit(SubmitError::NotStorable(why)))) => {
                return self.report_violation(format!(
                    "C4: a valid {} is rejected: {why}",
                    input.as_str()
                ));
            }
            _ => return,
        };
        let stored = self
            .tables
            .sagas
            .get(&id)
            .map_or(0, |stored| stored.row.revision);
        if stored < moved.revision {
            self.report_violation(format!(
                "C2: revision {} of saga {id} was acknowledged, and is not stored",
                moved.revision
            ));
        }
        if matches!(input, Input::Cancel(_)) {
            self.clients.cancelled.insert(id);
        }
    }
}

impl World {
    pub fn perform(self: &Arc<Self>, state: &mut State, deed: ClientAction) {
        match deed {
            ClientAction::Start(number) => self.start_saga(state, number),
            ClientAction::Cancel(saga) => self.request(state, saga, Input::Cancel(reason())),
            ClientAction::OperatorAction => {
                if let Some((saga, input)) = state.random_operator_input() {
                    state.record_fault(Fault::OperatorActed);
                    self.request(state, saga, input);
                }
            }
            ClientAction::OperatorRound => self.operator_round(state),
        }
    }

    fn start_saga(self: &Arc<Self>, state: &mut State, number: usize) {
        let request = state.start_request(number);
        let choice = state.rng.index(8);
        let Some((engine, killed)) = state.replicas.any_engine(choice) else {
            return state.started(number, None);
        };
        let world = Arc::clone(self);
        tokio::spawn(async move {
            let answer = killed.run_until_cancelled(engine.start(request)).await;
            drop(engine);
            world.state().started(number, answer);
            world.notify_queue_changed();
        });
    }

    /// Applies an input through any replica. Without a replica the input is dropped.
    fn request(self: &Arc<Self>, state: &mut State, saga_id: Uuid, input: Input) {
        match &input {
            Input::Complete(Complete { step, .. }) | Input::Resolve(Resolve { step, .. }) => {
                state
                    .clients
                    .settled_by_operator
                    .insert((saga_id, step.clone()));
            }
            _ => {}
        }
        let choice = state.rng.index(8);
        let Some((engine, killed)) = state.replicas.any_engine(choice) else {
            return;
        };
        let world = Arc::clone(self);
        tokio::spawn(async move {
            let answer = killed
                .run_until_cancelled(engine.apply(saga_id, input.clone(), None))
                .await;
            drop(engine);
            world.state().answered(saga_id, &input, answer);
        });
    }

    /// Operators resume what is paused and retry what is parked, every three seconds.
    fn operator_round(self: &Arc<Self>, state: &mut State) {
        let rows = state.tables.sagas.iter();
        let needing_help =
            rows.filter(|(_, saga)| saga.row.paused || saga.row.status == Status::Parked);
        let sagas = needing_help.filter_map(|(_, stored)| Saga::from_json(&stored.row.state).ok());
        let requests: Vec<(Uuid, Input)> =
            sagas.map(|saga| (saga.id, recovery_input(&saga))).collect();
        for (id, input) in requests {
            self.request(state, id, input);
        }
        state.schedule_in(
            3_000_000,
            SimEvent::ClientAction(ClientAction::OperatorRound),
        );
    }
}
