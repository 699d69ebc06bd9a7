//! Applies all inputs of a batch in memory: pure but for the clock's reading. What it makes is written by `write`.

use super::cache::Cached;
use super::load::Ground;
use super::saga_work::SagaWork;
use super::{Request, Shared, unconsumed};
use crate::db::{Batch, FoundStarts, IdempotencyRow};
use crate::engine::submit::{Answer, Idempotency, StartDetails, StartError, SubmitError};
use saga_core::definition::Definition;
use saga_core::saga::Saga;
use saga_core::transition::input::Start;
use saga_core::transition::{self, Decision, Effect, Input, SagaContext, Transition};
use saga_protocol::Time;
use saga_protocol::message::{Envelope, MAX_INPUT_BYTES, OutboxMessage};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// A batch ready to be written, and what follows once it is.
pub struct Prepared {
    pub batch: Batch,
    pub messages: Arc<[OutboxMessage]>,
    /// One for each request, in order.
    pub verdicts: Vec<Verdict>,
    /// The sagas as they will be.
    pub sagas: Vec<Cached>,
    /// Whether anything is to be written at all.
    pub writes: bool,
}

/// What a caller is told once the batch is durable.
pub type Verdict = Result<Answer, SubmitError>;

/// A batch in the making.
struct Making<'a> {
    shared: &'a Shared,
    now: Time,
    sagas: HashMap<Uuid, SagaWork>,
    taken: FoundStarts,
    idempotency: Vec<IdempotencyRow>,
    messages: Vec<OutboxMessage>,
}

/// Applies the inputs in order.
pub fn prepare(
    shared: &Shared,
    ground: Ground,
    requests: &[Request],
    id: Uuid,
    acknowledged: Vec<Uuid>,
) -> Prepared {
    let sagas = ground
        .sagas
        .into_iter()
        .map(|(id, cached)| (id, SagaWork::found(cached)))
        .collect();
    let mut making = Making {
        shared,
        now: shared.clock.now(),
        sagas,
        taken: ground.taken,
        idempotency: Vec::new(),
        messages: Vec::with_capacity(requests.len() * 2),
    };
    let verdicts = requests
        .iter()
        .map(|request| making.take(request))
        .collect();
    making.close(id, verdicts, acknowledged)
}

impl Making<'_> {
    fn take(&mut self, request: &Request) -> Verdict {
        let verdict = match (&request.start, &request.input) {
            (Some(details), Input::Start(start)) => self.start(details, start, &request.input),
            _ => self.apply(request),
        };
        count(&request.input, &verdict);
        verdict
    }

    fn apply(&mut self, request: &Request) -> Verdict {
        let work = self
            .sagas
            .get_mut(&request.saga_id)
            .ok_or(SubmitError::UnknownSaga(request.saga_id))?;
        let Cached {
            saga,
            input,
            definition,
            ..
        } = work.now.clone();
        if request
            .if_revision
            .is_some_and(|revision| revision != saga.revision)
        {
            return Err(SubmitError::Precondition(saga.revision));
        }
        let subject = SagaContext {
            definition: &definition,
            input: &input,
        };
        let input = unconsumed::ask(self.shared, &definition, &saga, &request.input, self.now);
        match transition::apply(subject, &saga, &input, self.now) {
            Decision::Applied(moved) => {
                let Transition {
                    saga,
                    effects,
                    moves,
                } = *moved;
                work.moved(saga, &input, &moves);
                unconsumed::count(&definition, &input);
                let saga = Arc::clone(&work.now.saga);
                self.perform(&saga, effects);
                Ok(Answer::Transition(saga))
            }
            Decision::Ignored(reason) => {
                work.ignored(&input, reason, self.now);
                Ok(Answer::Ignored(reason, saga))
            }
            Decision::Rejected(refusal) => Ok(Answer::Refused(refusal, saga)),
        }
    }

    fn start(&mut self, details: &StartDetails, start: &Start, input: &Input) -> Verdict {
        if let Some(verdict) = self.repeated(details, start) {
            return verdict;
        }
        if let Some(work) = self.sagas.get(&start.saga_id) {
            // An earlier try of this very start was committed after all, and is no longer in the outbox.
            return Ok(Answer::Transition(Arc::clone(&work.now.saga)));
        }
        let bytes = start.input.get().len();
        if bytes > MAX_INPUT_BYTES {
            return Err(StartError::TooLarge {
                bytes,
                most: MAX_INPUT_BYTES,
            }
            .into());
        }
        let definition = self.definition(details)?;
        if let Some(schema) = &definition.input_schema {
            schema
                .check(&start.input)
                .map_err(StartError::SchemaViolation)?;
        }
        let subject = SagaContext {
            definition: &definition,
            input: &start.input,
        };
        let Transition {
            saga,
            effects,
            moves,
        } = transition::start(subject, start, self.now);
        if let Some(key) = &details.idempotency {
            self.idempotency
                .push(self.stored_answer(key, &definition, &saga, start));
        }
        let cached = Cached {
            saga: Arc::new(saga.clone()),
            input: start.input.clone(),
            definition,
            ignored: 0,
            wake: None,
            bytes: 0,
        };
        let mut work = SagaWork::begun(cached);
        work.moved(saga, input, &moves);
        let saga = Arc::clone(&work.now.saga);
        self.sagas.insert(start.saga_id, work);
        self.perform(&saga, effects);
        Ok(Answer::Transition(saga))
    }

    /// A start whose key has started a saga already, in the database or in this batch (rule C8).
    fn repeated(&self, details: &StartDetails, start: &Start) -> Option<Verdict> {
        if let Some(key) = &details.idempotency {
            let all = self.taken.idempotency.iter().chain(&self.idempotency);
            if let Some(first) = all
                .into_iter()
                .find(|row| row.scope == key.scope && row.key == key.key)
            {
                let same = first.body_hash == key.body_hash;
                let answer = Answer::Repeated {
                    saga_id: first.saga_id,
                    answer: first.answer.clone(),
                };
                return Some(if same {
                    Ok(answer)
                } else {
                    Err(StartError::KeyReused.into())
                });
            }
        }
        let business =
            |(workflow, key): &(String, String)| *workflow == details.workflow && *key == start.key;
        let stored = self
            .taken
            .business
            .iter()
            .find(|(key, _)| business(key))
            .map(|(_, id)| *id);
        let in_batch = self.sagas.values().filter(|work| work.begins());
        let in_batch = in_batch.map(|work| &work.now.saga);
        let here = in_batch
            .into_iter()
            .find(|saga| business(&(saga.workflow.clone(), saga.key.clone())));
        let saga_id = stored.or(here.map(|saga| saga.id))?;
        // It is this very start's: the write finds that out, and the next try is told by its saga.
        (saga_id != start.saga_id).then(|| {
            Err(StartError::KeyTaken {
                key: start.key.clone(),
                saga_id,
            }
            .into())
        })
    }

    fn definition(&self, details: &StartDetails) -> Result<Arc<Definition>, StartError> {
        let known = match details.version {
            Some(version) => self.shared.definitions.get(&details.workflow, version),
            None => self.shared.definitions.latest(&details.workflow),
        };
        known
            .map(|known| known.definition)
            .ok_or_else(|| StartError::UnknownWorkflow {
                workflow: details.workflow.clone(),
                version: details.version,
            })
    }

    fn stored_answer(
        &self,
        key: &Idempotency,
        definition: &Definition,
        saga: &Saga,
        start: &Start,
    ) -> IdempotencyRow {
        IdempotencyRow {
            scope: key.scope.clone(),
            key: key.key.clone(),
            body_hash: key.body_hash.clone(),
            saga_id: saga.id,
            answer: (key.answer)(definition, saga, &start.input),
            at: self.now,
        }
    }

    /// Writes down what a transition asked for; it is performed once the batch is durable.
    fn perform(&mut self, saga: &Saga, effects: Vec<Effect>) {
        let envelope = Envelope {
            correlation_id: Some(saga.correlation_id.clone()),
            traceparent: None,
        };
        for effect in effects {
            let outgoing = match effect {
                Effect::Send { worker, command } => {
                    OutboxMessage::command(&worker, &command, envelope.clone())
                }
                Effect::Publish(event) => OutboxMessage::event(&event, envelope.clone()),
                // Which timer is needed follows from the saga's last state in this batch.
                Effect::SetTimer(_) => continue,
            };
            self.messages
                .push(outgoing.expect("a message's keys are strings, so it has a JSON form"));
        }
    }

    fn close(mut self, id: Uuid, verdicts: Vec<Verdict>, acknowledged: Vec<Uuid>) -> Prepared {
        let mut works: Vec<_> = std::mem::take(&mut self.sagas).into_values().collect();
        works.sort_unstable_by_key(|work| work.now.saga.id);
        self.idempotency
            .sort_by(|a, b| (&a.scope, &a.key).cmp(&(&b.scope, &b.key)));
        let mut batch = Batch {
            id,
            owner: self.shared.lease.incarnation(),
            checks: Vec::new(),
            inserts: Vec::new(),
            updates: Vec::new(),
            history: Vec::new(),
            idempotency: self.idempotency,
            wakes: Vec::new(),
            messages: Vec::new(),
            acknowledged,
        };
        for work in &mut works {
            batch.checks.extend(work.check());
            batch
                .wakes
                .extend(if work.begins() || work.check().is_some() {
                    work.wake(self.now)
                } else {
                    None
                });
            if work.begins() {
                batch.inserts.push(
                    work.insert()
                        .expect("a saga's keys are strings, so it has a JSON form"),
                );
            } else if work.changed() {
                batch.updates.push(
                    work.row()
                        .expect("a saga's keys are strings, so it has a JSON form"),
                );
            }
            batch.history.append(&mut work.history);
        }
        batch.messages = serde_json::to_vec(&self.messages).expect("a message has a JSON form");
        let writes = !(batch.checks.is_empty() && batch.inserts.is_empty());
        let sagas = works.into_iter().map(|work| work.now).collect();
        Prepared {
            batch,
            messages: self.messages.into(),
            verdicts,
            sagas,
            writes,
        }
    }
}

fn count(input: &Input, verdict: &Verdict) {
    let reason = match verdict {
        Ok(Answer::Ignored(reason, _)) => reason.as_str(),
        Err(SubmitError::UnknownSaga(_)) if matches!(input, Input::Reply(_)) => {
            transition::IgnoredReason::UnknownSaga.as_str()
        }
        _ => return,
    };
    metrics::counter!("saga_inputs_ignored_total", "reason" => reason).increment(1);
}
