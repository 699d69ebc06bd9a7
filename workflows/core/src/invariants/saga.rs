//! Invariants of a saga at one revision.

use super::violations::Violations;
use crate::definition::{self, Definition, Position};
use crate::saga::{AttemptState, RollbackCause, Saga, Status, Step, StepStatus, Wait};
use crate::transition::next_timer_at;
use saga_protocol::Action;

/// Checks that the definition can lead to this saga. Its history is not considered.
///
/// # Errors
/// One sentence for each invariant that does not hold.
pub fn check_invariants(saga: &Saga, definition: &Definition) -> Result<(), Vec<String>> {
    // The other checks pair each step with its definition by index.
    let names = || saga.steps.iter().map(|step| &step.name);
    if !names().eq(definition.steps.iter().map(|step| &step.name)) {
        return Err(vec![format!(
            "the saga's steps {:?} differ from those of the definition",
            names().collect::<Vec<_>>()
        )]);
    }

    let mut violations = Violations::default();
    check_saga(&mut violations, saga, definition);
    check_rollback(&mut violations, saga, definition);

    for (index, step) in saga.steps.iter().enumerate() {
        let mut step_violations = Violations::default();
        let step_definition = &definition.steps[index];
        check_step(&mut step_violations, saga, step_definition, step);
        check_wait(&mut step_violations, saga, step_definition, step);
        check_order(&mut step_violations, saga, definition, index);
        violations.add_step(&step.name, step_violations);
    }
    violations.into_result()
}

/// The saga's status as its steps determine it.
pub fn derived_status(saga: &Saga) -> Status {
    let is_done = |step: &Step| matches!(step.status, StepStatus::Completed | StepStatus::Skipped);
    if saga.steps.iter().any(Step::needs_operator) {
        Status::Parked
    } else if saga.is_rolling_back() {
        if saga.steps.iter().all(Step::is_settled) {
            Status::Compensated
        } else {
            Status::Compensating
        }
    } else if saga.steps.iter().all(is_done) {
        Status::Completed
    } else {
        Status::Running
    }
}

fn check_saga(violations: &mut Violations, saga: &Saga, definition: &Definition) {
    let derived = derived_status(saga);
    let is_finished = saga.status.is_finished();

    violations.require(saga.status == derived, || {
        format!(
            "the status is {}, but the steps imply {derived}",
            saga.status
        )
    });
    violations.require(saga.revision >= 1, || "the revision is 0".to_owned());
    violations.require(saga.updated_at >= saga.started_at, || {
        "updated_at is before started_at".to_owned()
    });
    violations.require(
        saga.deadline == saga.started_at + definition.deadline,
        || "the deadline differs from the definition's".to_owned(),
    );
    violations.require(saga.finished_at.is_some() == is_finished, || {
        "finished_at contradicts the status".to_owned()
    });
    violations.require(!is_finished || !saga.paused, || {
        "the saga is finished and paused".to_owned()
    });
    violations.require(
        !saga.past_deadline || saga.updated_at >= saga.deadline,
        || "past_deadline is set before the deadline".to_owned(),
    );

    // A saga that nothing can move is lost: a timer, an operator or its end must follow.
    let has_next = is_finished
        || saga.paused
        || saga.status == Status::Parked
        || next_timer_at(saga).is_some();
    violations.require(has_next, || {
        "I12: the saga is neither finished nor parked nor paused, and has no timer".to_owned()
    });
    violations.require(!is_finished || next_timer_at(saga).is_none(), || {
        "the saga is finished and has a timer".to_owned()
    });
}

fn check_rollback(violations: &mut Violations, saga: &Saga, definition: &Definition) {
    let Some(rollback) = &saga.rollback else {
        violations.require(saga.cancel.is_none(), || {
            "the saga is cancelled, but does not roll back".to_owned()
        });
        return;
    };
    violations.require(rollback.revision <= saga.revision, || {
        "the rollback began at a later revision".to_owned()
    });
    violations.require(!saga.paused, || {
        "the saga rolls back and is paused".to_owned()
    });
    violations.require(!saga.past_deadline, || {
        "the saga rolls back with past_deadline set".to_owned()
    });

    match &rollback.cause {
        RollbackCause::Cancel | RollbackCause::Deadline => {
            violations.require(saga.cancel.is_some(), || {
                "the rollback's cause is a cancel, but none is recorded".to_owned()
            });
        }
        RollbackCause::Failure(step) => {
            violations.require(saga.step(step).is_some(), || {
                format!("the rollback's cause is the unknown step {step}")
            });
        }
    }

    for (step, step_definition) in saga.steps.iter().zip(&definition.steps) {
        match step_definition.position {
            Position::Before => {}
            Position::Pivot => {
                let is_passed = matches!(step.status, StepStatus::Completed | StepStatus::Skipped)
                    || step_definition.compensation.is_none() && step.execute.is_decided();
                violations.require(!is_passed, || {
                    format!("B2: the saga rolls back past its pivot {}", step.name)
                });
            }
            Position::Behind => violations.require(step.status == StepStatus::Pending, || {
                format!(
                    "B2: the saga rolls back, but {} behind the pivot is {}",
                    step.name, step.status
                )
            }),
        }
    }
}

fn check_step(
    violations: &mut Violations,
    saga: &Saga,
    step_definition: &definition::Step,
    step: &Step,
) {
    let is_decided = step.execute.is_decided();
    let status = step.status;
    match status {
        StepStatus::Pending => {
            violations.require(*step == Step::pending(&step.name), || {
                "the step is pending, but has state".to_owned()
            });
        }
        StepStatus::Skipped => {
            violations.require(step_definition.when.is_some(), || {
                "the step is skipped without a condition".to_owned()
            });
            violations.require(!is_decided, || {
                "the step is skipped, but its command was sent".to_owned()
            });
        }
        StepStatus::Running => violations.require(is_decided, || {
            "the step is running, but no command was sent".to_owned()
        }),
        StepStatus::Waiting => violations.require(step.happened, || {
            "the step is waiting, but was not accepted".to_owned()
        }),
        StepStatus::Completed => {
            violations.require(step.output.is_some() && step.happened, || {
                "the step is completed without an output".to_owned()
            });
        }
        StepStatus::Failed => {
            violations.require(step.execute.error.is_some(), || {
                "the step failed without an error".to_owned()
            });
        }
        StepStatus::Compensating => {
            violations.require(
                step.compensation.as_ref().is_some_and(|compensation| {
                    !compensation.settled && compensation.attempts.is_decided()
                }),
                || "the step is compensating without a command".to_owned(),
            );
        }
        StepStatus::Compensated => {
            let needs_none = step_definition.compensation.is_none() && step.output.is_some();
            violations.require(
                step.compensation
                    .as_ref()
                    .map_or(needs_none, |compensation| compensation.settled),
                || "the step is compensated, but not settled".to_owned(),
            );
        }
    }

    check_step_fields(violations, saga, step_definition, step);
}

/// What holds for the fields of a step whatever its status.
fn check_step_fields(
    violations: &mut Violations,
    saga: &Saga,
    step_definition: &definition::Step,
    step: &Step,
) {
    let is_decided = step.execute.is_decided();
    let status = step.status;
    let parked_failed = status == StepStatus::Failed && !saga.is_rolling_back();

    let has_rolled_back = matches!(status, StepStatus::Compensating | StepStatus::Compensated)
        || step.compensation.is_some();
    violations.require(saga.is_rolling_back() || !has_rolled_back, || {
        format!("the step is {status}, but the saga does not roll back")
    });
    violations.require(is_decided == step.started_at.is_some(), || {
        "started_at contradicts the attempts".to_owned()
    });
    let is_finished = matches!(
        status,
        StepStatus::Completed | StepStatus::Failed | StepStatus::Skipped | StepStatus::Compensated
    );
    violations.require(step.finished_at.is_some() == is_finished, || {
        "finished_at contradicts the status".to_owned()
    });
    violations.require(!parked_failed || step.needs_operator(), || {
        "the step failed, but the saga neither rolls back nor is parked".to_owned()
    });

    let reminder_is_allowed = step.remind_at.is_none()
        || status == StepStatus::Waiting && step_definition.reminder.is_some();
    violations.require(reminder_is_allowed, || {
        format!("the step is {status}, but has a scheduled reminder")
    });
    violations.require(!step.confirming || step.happened, || {
        "the step is confirming, but was not accepted".to_owned()
    });
    let unsettled = step
        .compensation
        .as_ref()
        .is_some_and(|compensation| !compensation.settled);
    violations.require(!unsettled || status == StepStatus::Compensating, || {
        format!("the step is {status}, but its compensation is not settled")
    });
}

fn check_wait(
    violations: &mut Violations,
    saga: &Saga,
    step_definition: &definition::Step,
    step: &Step,
) {
    let (action, attempts) = step.current_direction();
    let is_waiting = attempts.wait.is_some();
    let runs_forward = matches!(
        step.status,
        StepStatus::Running | StepStatus::Waiting | StepStatus::Failed
    );
    let must_wait =
        step.status == StepStatus::Compensating || runs_forward && !saga.is_rolling_back();
    violations.require(is_waiting == must_wait, || {
        format!(
            "the step is {}, but its wait is {:?}",
            step.status, attempts.wait
        )
    });

    let no_leftover = action == Action::Execute || step.execute.wait.is_none();
    violations.require(no_leftover, || {
        "the saga rolls back, but a reply to execute is awaited".to_owned()
    });

    let max_failures = |action| match action {
        Action::Execute if step_definition.retries_without_limit() => u32::MAX,
        Action::Execute => step_definition.retry.attempts,
        Action::Compensate => step_definition.compensation.as_ref().map_or(
            saga_protocol::retry::RetryPolicy::COMPENSATION.attempts,
            |compensation| compensation.retry.attempts,
        ),
    };
    let mut check_attempts = |action, attempts: &AttemptState| {
        violations.require(attempts.failures <= attempts.attempt, || {
            "more attempts failed than were sent".to_owned()
        });
        let limit = max_failures(action);
        violations.require(attempts.failures <= limit, || {
            format!(
                "{} attempts failed, the limit is {limit}",
                attempts.failures
            )
        });
        let is_retrying = matches!(attempts.wait, Some(Wait::Reply(_) | Wait::Retry(_)));
        violations.require(!is_retrying || attempts.failures < limit, || {
            "the step continues after its last attempt".to_owned()
        });
    };
    check_attempts(Action::Execute, &step.execute);
    if let Some(compensation) = &step.compensation {
        check_attempts(Action::Compensate, &compensation.attempts);
    }
}

/// Checks I4 and its forward counterpart, and that every command that is due was sent.
fn check_order(violations: &mut Violations, saga: &Saga, definition: &Definition, index: usize) {
    let step = &saga.steps[index];
    if saga.status == Status::Running && !saga.paused && step.status == StepStatus::Pending {
        let is_done = |need: &usize| {
            matches!(
                saga.steps[*need].status,
                StepStatus::Completed | StepStatus::Skipped
            )
        };
        let is_ready = definition.steps[index].needs.iter().all(is_done);
        violations.require(!is_ready, || {
            "the step may begin, but is still pending".to_owned()
        });
    }

    if saga.status == Status::Compensating && step.compensation.is_none() && !step.is_settled() {
        let is_ready = transitive_dependents(definition, index)
            .into_iter()
            .all(|dependent| saga.steps[dependent].is_settled());
        violations.require(!is_ready, || {
            "the step may be compensated, but no command was sent".to_owned()
        });
    }

    if step.status != StepStatus::Pending {
        for need in &definition.steps[index].needs {
            let need = &saga.steps[*need];
            let is_done = need.status == StepStatus::Skipped || need.output.is_some();
            violations.require(is_done, || {
                format!("the step began before {}, which it needs", need.name)
            });
        }
    }

    if step.compensation.is_some() || step.status == StepStatus::Compensated {
        for dependent in transitive_dependents(definition, index) {
            let dependent = &saga.steps[dependent];
            violations.require(dependent.is_settled(), || {
                format!(
                    "I4: the step is compensated before {}, which needs it",
                    dependent.name
                )
            });
        }
    }
}

/// The steps that need this one, directly or through others.
pub fn transitive_dependents(definition: &Definition, step: usize) -> Vec<usize> {
    let mut found = vec![false; definition.steps.len()];
    let mut open = vec![step];
    while let Some(step) = open.pop() {
        for dependent in &definition.steps[step].dependents {
            if !std::mem::replace(&mut found[*dependent], true) {
                open.push(*dependent);
            }
        }
    }
    (0..found.len()).filter(|step| found[*step]).collect()
}
