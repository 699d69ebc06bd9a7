//! Applies the inputs of a batch in memory. Nothing here performs I/O: the result is what the write stores, and what
//! follows once it is durable.

use super::cache::CachedSaga;
use super::load::Snapshot;
use super::saga_changes::SagaChanges;
use super::unconsumed;
use crate::db::{Batch, ExistingStarts, IdempotencyRow};
use crate::engine::context::EngineContext;
use crate::engine::handle::{ApplyError, ApplyOutcome, IdempotencyKey, StartError, StartOutcome};
use crate::engine::queue::{
    ApplyResult, InputKind, InputRequest, InputResult, StartOptions, StartResult,
};
use saga_core::saga::Saga;
use saga_core::transition::input::Start;
use saga_core::transition::{self, Decision, Effect, Input, SagaContext, Transition};
use saga_protocol::Time;
use saga_protocol::message::{Envelope, MAX_INPUT_BYTES, OutboxMessage};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// A batch to be written.
pub struct PreparedBatch {
    pub batch: Batch,
    /// Published once the batch is durable.
    pub messages: Arc<[OutboxMessage]>,
    /// One result per request, in order.
    pub results: Vec<InputResult>,
    /// The batch's sagas after it.
    pub sagas: Vec<CachedSaga>,
}

impl PreparedBatch {
    /// Whether nothing has to be written: every input was answered from what is stored.
    pub fn is_empty(&self) -> bool {
        self.batch.checks.is_empty() && self.batch.inserts.is_empty()
    }
}

/// Applies the requests in order.
pub fn apply_batch(
    context: &EngineContext,
    snapshot: Snapshot,
    requests: &[InputRequest],
    batch_id: Uuid,
    acknowledged: Vec<Uuid>,
) -> PreparedBatch {
    let mut builder = BatchBuilder::new(context, snapshot, requests.len());
    let results = requests
        .iter()
        .map(|request| builder.process(request))
        .collect();
    builder.build(batch_id, results, acknowledged)
}

struct BatchBuilder<'a> {
    context: &'a EngineContext,
    /// One time for the whole batch.
    now: Time,
    sagas: HashMap<Uuid, SagaChanges>,
    existing: ExistingStarts,
    new_idempotency: Vec<IdempotencyRow>,
    messages: Vec<OutboxMessage>,
}

impl<'a> BatchBuilder<'a> {
    fn new(context: &'a EngineContext, snapshot: Snapshot, requests: usize) -> Self {
        let sagas = snapshot
            .sagas
            .into_iter()
            .map(|(saga_id, cached)| (saga_id, SagaChanges::loaded(cached)))
            .collect();
        Self {
            context,
            now: context.clock.now(),
            sagas,
            existing: snapshot.existing,
            new_idempotency: Vec::new(),
            // Most inputs send a command and publish an event.
            messages: Vec::with_capacity(requests * 2),
        }
    }

    fn process(&mut self, request: &InputRequest) -> InputResult {
        match (&request.kind, &request.input) {
            (InputKind::Start(options), Input::Start(start)) => {
                InputResult::Start(self.start(options, start, &request.input))
            }
            (InputKind::Start(_), _) => {
                unreachable!("only the input of a start has start options")
            }
            (InputKind::Apply { if_revision }, input) => {
                let result = self.apply(request.saga_id, input, *if_revision);
                count_ignored(input, &result);
                InputResult::Apply(result)
            }
        }
    }

    fn apply(&mut self, saga_id: Uuid, input: &Input, if_revision: Option<u64>) -> ApplyResult {
        let changes = self
            .sagas
            .get_mut(&saga_id)
            .ok_or(ApplyError::UnknownSaga(saga_id))?;
        let CachedSaga {
            saga,
            input: saga_input,
            definition,
            ..
        } = changes.current.clone();

        if if_revision.is_some_and(|revision| revision != saga.revision) {
            return Err(ApplyError::RevisionMismatch {
                current: saga.revision,
            });
        }

        let saga_context = SagaContext {
            definition: &definition,
            input: &saga_input,
        };
        let input =
            unconsumed::with_unconsumed_steps(self.context, &definition, &saga, input, self.now);

        match transition::apply(saga_context, &saga, &input, self.now) {
            Decision::Applied(transition) => {
                let Transition {
                    saga,
                    effects,
                    changes: status_changes,
                } = *transition;
                changes.applied(saga, &input, &status_changes);
                unconsumed::count_postponed_timeouts(&definition, &input);

                let saga = Arc::clone(&changes.current.saga);
                self.add_messages(&saga, effects);
                Ok(ApplyOutcome::Applied(saga))
            }
            Decision::Ignored(reason) => {
                changes.ignored(&input, reason, self.now);
                Ok(ApplyOutcome::Ignored(reason, saga))
            }
            Decision::Rejected(rejection) => Ok(ApplyOutcome::Rejected(rejection, saga)),
        }
    }

    fn start(&mut self, options: &StartOptions, start: &Start, input: &Input) -> StartResult {
        if let Some(result) = self.find_existing(options, start) {
            return result;
        }

        // An earlier attempt of this start was committed although its caller saw an error.
        if let Some(changes) = self.sagas.get(&start.saga_id) {
            return Ok(StartOutcome::Started(Arc::clone(&changes.current.saga)));
        }

        // The checks come after the lookup: a repeated start gets its stored answer even if a newer version of the workflow
        // has a stricter schema.
        let bytes = start.input.get().len();
        if bytes > MAX_INPUT_BYTES {
            let limit = MAX_INPUT_BYTES;
            return Err(StartError::InputTooLarge { bytes, limit });
        }
        let definition = &options.definition;
        if let Some(schema) = &definition.input_schema {
            schema
                .check(&start.input)
                .map_err(StartError::SchemaViolation)?;
        }

        let saga_context = SagaContext {
            definition,
            input: &start.input,
        };
        let Transition {
            saga,
            effects,
            changes: status_changes,
        } = transition::start(saga_context, start, self.now);

        if let Some(key) = &options.idempotency_key {
            let answer = (key.answer)(definition, &saga, &start.input);
            self.new_idempotency
                .push(idempotency_row(key, saga.id, answer, self.now));
        }

        let changes = SagaChanges::started(
            saga,
            start.input.clone(),
            Arc::clone(definition),
            input,
            &status_changes,
        );
        let saga = Arc::clone(&changes.current.saga);
        self.sagas.insert(start.saga_id, changes);
        self.add_messages(&saga, effects);
        Ok(StartOutcome::Started(saga))
    }

    /// Answers a start that is not the first of its Idempotency-Key or of its business key (rule C8). Returns `None` if the
    /// start is new.
    fn find_existing(&self, options: &StartOptions, start: &Start) -> Option<StartResult> {
        if let Some(key) = &options.idempotency_key
            && let Some(row) = self.stored_answer(key)
        {
            if row.body_hash != key.body_hash {
                return Some(Err(StartError::IdempotencyKeyReused));
            }
            return Some(Ok(StartOutcome::Repeated {
                saga_id: row.saga_id,
                answer: row.answer.clone(),
            }));
        }

        let saga_id = self.saga_with_key(&options.definition.workflow, &start.key)?;

        // Found itself: an earlier attempt of this start was committed although its caller saw an error. The write detects
        // the duplicate, and the next attempt answers from the saga.
        if saga_id == start.saga_id {
            return None;
        }

        let key = start.key.clone();
        Some(Err(StartError::KeyTaken { key, saga_id }))
    }

    /// The stored answer of an Idempotency-Key, from the database or from this batch.
    fn stored_answer(&self, key: &IdempotencyKey) -> Option<&IdempotencyRow> {
        self.existing
            .idempotency
            .iter()
            .chain(&self.new_idempotency)
            .find(|row| row.scope == key.scope && row.key == key.key)
    }

    /// The saga of a business key, from the database or from this batch.
    fn saga_with_key(&self, workflow: &str, key: &str) -> Option<Uuid> {
        let stored = self
            .existing
            .business
            .iter()
            .find(|((stored_workflow, stored_key), _)| {
                stored_workflow == workflow && stored_key == key
            });
        if let Some((_, saga_id)) = stored {
            return Some(*saga_id);
        }

        self.sagas
            .values()
            .filter(|changes| changes.is_start())
            .map(|changes| &changes.current.saga)
            .find(|saga| saga.workflow == workflow && saga.key == key)
            .map(|saga| saga.id)
    }

    /// Collects the messages that a transition asks for; they are published once the batch is durable.
    fn add_messages(&mut self, saga: &Saga, effects: Vec<Effect>) {
        let envelope = Envelope {
            correlation_id: Some(saga.correlation_id.clone()),
            traceparent: None,
        };
        for effect in effects {
            let message = match effect {
                Effect::Send { worker, command } => {
                    OutboxMessage::command(&worker, &command, envelope.clone())
                }
                Effect::Publish(event) => OutboxMessage::event(&event, envelope.clone()),
                // The timer follows from the saga's last state in this batch.
                Effect::SetTimer(_) => continue,
            };
            self.messages
                .push(message.expect("a message has string keys only"));
        }
    }

    fn build(
        mut self,
        batch_id: Uuid,
        results: Vec<InputResult>,
        acknowledged: Vec<Uuid>,
    ) -> PreparedBatch {
        // The statement locks rows in this order; with one order for all replicas, batches that overlap never deadlock.
        let mut sagas: Vec<_> = self.sagas.into_values().collect();
        sagas.sort_unstable_by_key(|changes| changes.current.saga.id);
        self.new_idempotency
            .sort_by(|a, b| (&a.scope, &a.key).cmp(&(&b.scope, &b.key)));

        let mut batch = Batch {
            id: batch_id,
            owner: self.context.lease.incarnation(),
            checks: Vec::new(),
            inserts: Vec::new(),
            updates: Vec::new(),
            history: Vec::new(),
            idempotency: self.new_idempotency,
            timers: Vec::new(),
            messages: serde_json::to_vec(&self.messages).expect("a message has string keys only"),
            acknowledged,
        };
        for changes in &mut sagas {
            let check = changes.check();
            if changes.is_start() || check.is_some() {
                batch.timers.extend(changes.next_timer(self.now));
            }
            batch.checks.extend(check);

            if changes.is_start() {
                let insert = changes.insert();
                batch
                    .inserts
                    .push(insert.expect("a saga has string keys only"));
            } else if changes.needs_update() {
                let row = changes.row();
                batch
                    .updates
                    .push(row.expect("a saga has string keys only"));
            }
            batch.history.append(&mut changes.history);
        }

        PreparedBatch {
            batch,
            messages: self.messages.into(),
            results,
            sagas: sagas.into_iter().map(|changes| changes.current).collect(),
        }
    }
}

fn idempotency_row(
    key: &IdempotencyKey,
    saga_id: Uuid,
    answer: Vec<u8>,
    at: Time,
) -> IdempotencyRow {
    IdempotencyRow {
        scope: key.scope.clone(),
        key: key.key.clone(),
        body_hash: key.body_hash.clone(),
        saga_id,
        answer,
        at,
    }
}

fn count_ignored(input: &Input, result: &ApplyResult) {
    let reason = match result {
        Ok(ApplyOutcome::Ignored(reason, _)) => *reason,
        Err(ApplyError::UnknownSaga(_)) if matches!(input, Input::Reply(_)) => {
            transition::IgnoredReason::UnknownSaga
        }
        _ => return,
    };
    metrics::counter!("saga_inputs_ignored_total", "reason" => reason.as_str()).increment(1);
}
