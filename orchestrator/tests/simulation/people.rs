//! Those who ask: customers who start and cancel, operators who meddle, and who see to it in the end that nothing stays
//! parked or paused.

use crate::agenda::Happening;
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

/// Something that somebody does.
#[derive(Clone)]
pub enum Deed {
    /// The customer of that number starts a saga, or tries again.
    Start(usize),
    /// The saga's customer wants it undone.
    Cancel(Uuid),
    /// An operator does something to some saga.
    Meddle,
    /// Once faults have stopped, operators look after what is parked or paused.
    Round,
}

/// A customer.
pub struct Customer {
    workflow: String,
    input: Payload,
    /// What makes a repeat the same start; None: who gets no answer leaves it at that.
    key: Option<String>,
    pub saga: Option<Uuid>,
    pub gone: bool,
}

/// All of them.
#[derive(Default)]
pub struct Customers {
    pub all: Vec<Customer>,
    /// Still without an answer.
    pub open: usize,
    sagas: u64,
    /// Sagas whose cancel was taken.
    pub cancelled: BTreeSet<Uuid>,
    /// Steps that were settled by hand: what stands of them nobody can say.
    pub by_hand: BTreeSet<(Uuid, String)>,
}

fn reason() -> OperatorRequest {
    OperatorRequest {
        reason: "because".to_owned(),
        by: "somebody".to_owned(),
    }
}

/// What gets it going again. A compensation whose ledger knows of no action, since that was completed by hand, no retry
/// mends.
fn helps(saga: &Saga) -> Input {
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
    /// One more customer, who comes at that moment.
    pub fn customer(&mut self, workflow: &str, at: u64) {
        let number = self.customers.all.len();
        let flags: Vec<bool> = (0..3).map(|_| self.dice.below(2) == 0).collect();
        let flags = serde_json::json!({ "a": flags[0], "b": flags[1], "c": flags[2] });
        let key = (self.dice.below(2) == 0).then(|| format!("o-{number}"));
        let repeatable = key.is_some();
        let input = Payload::from(serde_json::json!({ "flags": flags, "secret": "s" }));
        let workflow = workflow.to_owned();
        self.customers.all.push(Customer {
            workflow,
            input,
            key,
            saga: None,
            gone: false,
        });
        self.customers.open += 1;
        self.agenda.add(at, Happening::Deed(Deed::Start(number)));
        if repeatable && self.strikes(Fault::CallerRepeats) {
            self.agenda.add(at, Happening::Deed(Deed::Start(number)));
        }
    }

    fn start_request(&mut self, number: usize) -> StartRequest {
        self.customers.sagas += 1;
        // Ids rise as those of a UUIDv7 do; the last byte, by which they are spread, is as good as random.
        let id = (u128::from(self.customers.sagas) << 64) | u128::from(self.dice.next());
        let saga_id = Uuid::from_u128(id);
        let customer = &self.customers.all[number];
        let key = customer.key.clone().unwrap_or_else(|| saga_id.to_string());
        let idempotency_key = customer.key.clone().map(|key| IdempotencyKey {
            scope: "customers".to_owned(),
            key,
            body_hash: Vec::new(),
            answer: |_, saga, _| saga.id.as_bytes().to_vec(),
        });
        let start = Start {
            saga_id,
            key,
            correlation_id: "c".to_owned(),
            input: customer.input.clone(),
            by: "somebody".to_owned(),
        };
        StartRequest {
            workflow: customer.workflow.clone(),
            version: None,
            idempotency_key,
            start,
        }
    }

    /// What a customer makes of the answer to a start.
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
            Some(other) => return self.breaks(format!("C8: a start was answered {other:?}")),
        };
        match saga {
            Some(saga) => self.has_begun(number, saga),
            None if self.customers.all[number].key.is_some() => {
                let again = self.dice.between(100_000, 2_000_000);
                self.in_micros(again, Happening::Deed(Deed::Start(number)));
            }
            None => {
                self.customers.all[number].gone = true;
                self.customers.open -= 1;
            }
        }
    }

    fn has_begun(&mut self, number: usize, saga: Uuid) {
        if !self.tables.sagas.contains_key(&saga) {
            self.breaks(format!("I1: saga {saga} was promised, and is not stored"));
        }
        let customer = &mut self.customers.all[number];
        match customer.saga {
            Some(first) if first != saga && customer.key.is_some() => {
                self.breaks(format!("C8: sagas {first} and {saga} have one key"));
            }
            Some(_) => {}
            None => {
                customer.saga = Some(saga);
                self.customers.open -= 1;
                if self.strikes(Fault::Cancelled) {
                    let most = 1 << self.dice.between(10, 25);
                    let after = self.dice.between(1_000, most);
                    self.in_micros(after, Happening::Deed(Deed::Cancel(saga)));
                }
            }
        }
    }

    /// What an operator could do to a saga, at random.
    fn meddling(&mut self) -> Option<(Uuid, Input)> {
        let from = Uuid::from_u128(u128::from(self.dice.below(self.customers.sagas + 1)) << 64);
        let (id, stored) = self
            .tables
            .sagas
            .range(from..)
            .find(|(_, stored)| !stored.row.status.is_finished())?;
        let id = *id;
        let saga = Saga::from_json(&stored.row.state).ok()?;
        let step = saga.steps[self.dice.index(saga.steps.len())].name.clone();
        let by = || "operator".to_owned();
        let input = match self.dice.below(8) {
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

    /// What was answered to somebody's input.
    fn answered(
        &mut self,
        id: Uuid,
        input: &Input,
        answer: Option<Result<ApplyOutcome, ApplyError>>,
    ) {
        let moved = match answer {
            Some(Ok(ApplyOutcome::Applied(saga))) => saga,
            Some(Err(ApplyError::Submit(SubmitError::NotStorable(why)))) => {
                return self.breaks(format!("C4: a good {} is refused: {why}", input.as_str()));
            }
            _ => return,
        };
        let stored = self
            .tables
            .sagas
            .get(&id)
            .map_or(0, |stored| stored.row.revision);
        if stored < moved.revision {
            self.breaks(format!(
                "C2: revision {} of saga {id} was promised, and is not stored",
                moved.revision
            ));
        }
        if matches!(input, Input::Cancel(_)) {
            self.customers.cancelled.insert(id);
        }
    }
}

impl World {
    pub fn does(self: &Arc<Self>, state: &mut State, deed: Deed) {
        match deed {
            Deed::Start(number) => self.starts(state, number),
            Deed::Cancel(saga) => self.asks(state, saga, Input::Cancel(reason())),
            Deed::Meddle => {
                if let Some((saga, input)) = state.meddling() {
                    state.struck(Fault::Meddled);
                    self.asks(state, saga, input);
                }
            }
            Deed::Round => self.round(state),
        }
    }

    fn starts(self: &Arc<Self>, state: &mut State, number: usize) {
        let request = state.start_request(number);
        let chance = state.dice.index(8);
        let Some((engine, killed)) = state.replicas.some(chance) else {
            return state.started(number, None);
        };
        let world = Arc::clone(self);
        tokio::spawn(async move {
            let answer = killed.run_until_cancelled(engine.start(request)).await;
            drop(engine);
            world.state().started(number, answer);
            world.added();
        });
    }

    /// Somebody asks for something; who finds no replica lets it be.
    fn asks(self: &Arc<Self>, state: &mut State, saga_id: Uuid, input: Input) {
        match &input {
            Input::Complete(Complete { step, .. }) | Input::Resolve(Resolve { step, .. }) => {
                state.customers.by_hand.insert((saga_id, step.clone()));
            }
            _ => {}
        }
        let chance = state.dice.index(8);
        let Some((engine, killed)) = state.replicas.some(chance) else {
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

    /// Operators resume what is paused and retry what is parked, until nothing is left.
    fn round(self: &Arc<Self>, state: &mut State) {
        let rows = state.tables.sagas.iter();
        let idle = rows.filter(|(_, saga)| saga.row.paused || saga.row.status == Status::Parked);
        let sagas = idle.filter_map(|(_, stored)| Saga::from_json(&stored.row.state).ok());
        let asked: Vec<(Uuid, Input)> = sagas.map(|saga| (saga.id, helps(&saga))).collect();
        for (id, input) in asked {
            self.asks(state, id, input);
        }
        state.in_micros(3_000_000, Happening::Deed(Deed::Round));
    }
}
