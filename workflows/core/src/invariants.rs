//! What holds for every saga at every revision.

pub use crate::move_invariants::check_transition;

use crate::definition::{self, Definition, Position};
use crate::saga::{AttemptState, RollbackCause, Saga, Status, Step, StepStatus, Wait};
use crate::transition::next_timer_at;
use saga_protocol::Action;

/// Collects what does not hold, as sentences.
pub(crate) struct Broken(pub Vec<String>);

impl Broken {
    pub fn unless(&mut self, holds: bool, sentence: impl FnOnce() -> String) {
        if !holds {
            self.0.push(sentence());
        }
    }
}

/// Whether a saga is one that its definition can lead to, by itself: no history is looked at.
///
/// # Errors
/// Each sentence says what does not hold.
pub fn check_invariants(saga: &Saga, definition: &Definition) -> Result<(), Vec<String>> {
    let mut broken = Broken(Vec::new());
    let names = || saga.steps.iter().map(|step| &step.name);
    if !names().eq(definition.steps.iter().map(|step| &step.name)) {
        return Err(vec![format!(
            "its steps are {:?}, not those of the definition",
            names().collect::<Vec<_>>()
        )]);
    }
    whole(&mut broken, saga, definition);
    turn(&mut broken, saga, definition);
    for (index, step) in saga.steps.iter().enumerate() {
        let mut found = Broken(Vec::new());
        let defined = &definition.steps[index];
        one_step(&mut found, saga, defined, step);
        waits(&mut found, saga, defined, step);
        order(&mut found, saga, definition, index);
        broken.0.extend(
            found
                .0
                .into_iter()
                .map(|sentence| format!("step {}: {sentence}", step.name)),
        );
    }
    if broken.0.is_empty() {
        Ok(())
    } else {
        Err(broken.0)
    }
}

/// The saga's status as its steps have it.
pub fn derived_status(saga: &Saga) -> Status {
    let done = |step: &Step| matches!(step.status, StepStatus::Completed | StepStatus::Skipped);
    if saga.steps.iter().any(Step::needs_operator) {
        Status::Parked
    } else if saga.is_rolling_back() {
        if saga.steps.iter().all(Step::is_settled) {
            Status::Compensated
        } else {
            Status::Compensating
        }
    } else if saga.steps.iter().all(done) {
        Status::Completed
    } else {
        Status::Running
    }
}

fn whole(broken: &mut Broken, saga: &Saga, definition: &Definition) {
    let derived = derived_status(saga);
    let finished = saga.status.is_finished();
    broken.unless(saga.status == derived, || {
        format!("it is {}, its steps make it {derived}", saga.status)
    });
    broken.unless(saga.revision >= 1, || "its revision is 0".to_owned());
    broken.unless(saga.updated_at >= saga.started_at, || {
        "it was moved before it began".to_owned()
    });
    broken.unless(
        saga.deadline == saga.started_at + definition.deadline,
        || "its deadline is another's".to_owned(),
    );
    broken.unless(saga.finished_at.is_some() == finished, || {
        "finished_at does not go with its status".to_owned()
    });
    broken.unless(!finished || !saga.paused, || {
        "it is at an end, and paused".to_owned()
    });
    broken.unless(
        !saga.past_deadline || saga.updated_at >= saga.deadline,
        || "it is past its deadline early".to_owned(),
    );
    let waits =
        finished || saga.paused || saga.status == Status::Parked || next_timer_at(saga).is_some();
    broken.unless(waits, || {
        "I12: it is neither at an end nor parked nor paused, and nothing wakes it".to_owned()
    });
    broken.unless(!finished || next_timer_at(saga).is_none(), || {
        "it is at an end, and is to be woken".to_owned()
    });
}

fn turn(broken: &mut Broken, saga: &Saga, definition: &Definition) {
    let Some(turn) = &saga.rollback else {
        broken.unless(saga.cancel.is_none(), || {
            "it is cancelled, and goes forward".to_owned()
        });
        return;
    };
    broken.unless(turn.revision <= saga.revision, || {
        "it turned at a revision to come".to_owned()
    });
    broken.unless(!saga.paused, || {
        "it goes backwards, and is paused".to_owned()
    });
    broken.unless(!saga.past_deadline, || {
        "it went backwards, and is shown as past its deadline".to_owned()
    });
    match &turn.cause {
        RollbackCause::Cancel | RollbackCause::Deadline => {
            broken.unless(saga.cancel.is_some(), || {
                "it turned by a cancel that it does not have".to_owned()
            });
        }
        RollbackCause::Failure(step) => {
            broken.unless(saga.step(step).is_some(), || {
                format!("it turned by {step}, which it does not have")
            });
        }
    }
    for (step, defined) in saga.steps.iter().zip(&definition.steps) {
        match defined.position {
            Position::Before => {}
            Position::Pivot => {
                let gone = matches!(step.status, StepStatus::Completed | StepStatus::Skipped)
                    || defined.compensation.is_none() && step.execute.is_decided();
                broken.unless(!gone, || {
                    format!("B2: it turned behind its pivot {}", step.name)
                });
            }
            Position::Behind => broken.unless(step.status == StepStatus::Pending, || {
                format!(
                    "B2: it turned, and {}, behind the pivot, is {}",
                    step.name, step.status
                )
            }),
        }
    }
}

fn one_step(broken: &mut Broken, saga: &Saga, defined: &definition::Step, step: &Step) {
    let decided = step.execute.is_decided();
    let status = step.status;
    let parked_failed = status == StepStatus::Failed && !saga.is_rolling_back();
    match status {
        StepStatus::Pending => {
            broken.unless(*step == Step::pending(&step.name), || {
                "it is pending, and not untouched".to_owned()
            });
        }
        StepStatus::Skipped => {
            broken.unless(defined.when.is_some(), || {
                "it was skipped without a condition".to_owned()
            });
            broken.unless(!decided, || "it was skipped, and sent".to_owned());
        }
        StepStatus::Running => broken.unless(decided, || "it runs, and was never sent".to_owned()),
        StepStatus::Waiting => broken.unless(step.happened, || {
            "it waits, and was not accepted".to_owned()
        }),
        StepStatus::Completed => {
            broken.unless(step.output.is_some() && step.happened, || {
                "it is completed without an output".to_owned()
            });
        }
        StepStatus::Failed => {
            broken.unless(step.execute.error.is_some(), || {
                "it failed without an error".to_owned()
            });
        }
        StepStatus::Compensating => {
            broken.unless(
                step.compensation.as_ref().is_some_and(|compensation| {
                    !compensation.settled && compensation.attempts.is_decided()
                }),
                || "it is being compensated without a command".to_owned(),
            );
        }
        StepStatus::Compensated => {
            let left = defined.compensation.is_none() && step.output.is_some();
            broken.unless(
                step.compensation
                    .as_ref()
                    .map_or(left, |compensation| compensation.settled),
                || "it is not settled".to_owned(),
            );
        }
    }
    let back = matches!(status, StepStatus::Compensating | StepStatus::Compensated)
        || step.compensation.is_some();
    broken.unless(saga.is_rolling_back() || !back, || {
        format!("it is {status}, and the saga goes forward")
    });
    broken.unless(decided == step.started_at.is_some(), || {
        "started_at does not go with its attempts".to_owned()
    });
    let over = matches!(
        status,
        StepStatus::Completed | StepStatus::Failed | StepStatus::Skipped | StepStatus::Compensated
    );
    broken.unless(step.finished_at.is_some() == over, || {
        "finished_at does not go with its status".to_owned()
    });
    broken.unless(!parked_failed || step.needs_operator(), || {
        "it failed, and the saga neither turned nor parked".to_owned()
    });
    let reminded =
        step.remind_at.is_none() || status == StepStatus::Waiting && defined.reminder.is_some();
    broken.unless(reminded, || {
        format!("it is {status}, and its reminder is to come")
    });
    broken.unless(!step.confirming || step.happened, || {
        "it was asked again without having been accepted".to_owned()
    });
    let unsettled = step
        .compensation
        .as_ref()
        .is_some_and(|compensation| !compensation.settled);
    broken.unless(!unsettled || status == StepStatus::Compensating, || {
        format!("it is undone while {status}")
    });
}

fn waits(broken: &mut Broken, saga: &Saga, defined: &definition::Step, step: &Step) {
    let (action, attempts) = step.current_direction();
    let waits = attempts.wait.is_some();
    let forward = matches!(
        step.status,
        StepStatus::Running | StepStatus::Waiting | StepStatus::Failed
    );
    let must = step.status == StepStatus::Compensating || forward && !saga.is_rolling_back();
    broken.unless(waits == must, || {
        format!("it is {}, and waits for {:?}", step.status, attempts.wait)
    });
    let no_leftover = action == Action::Execute || step.execute.wait.is_none();
    broken.unless(no_leftover, || {
        "its action is waited for on the way back".to_owned()
    });
    let limit = |action| match action {
        Action::Execute if defined.retries_without_limit() => u32::MAX,
        Action::Execute => defined.retry.attempts,
        Action::Compensate => defined.compensation.as_ref().map_or(
            saga_protocol::retry::RetryPolicy::COMPENSATION.attempts,
            |it| it.retry.attempts,
        ),
    };
    let mut count = |action, attempts: &AttemptState| {
        broken.unless(attempts.failures <= attempts.attempt, || {
            "more of its attempts failed than were sent".to_owned()
        });
        let most = limit(action);
        broken.unless(attempts.failures <= most, || {
            format!("{} attempts failed; {most} are allowed", attempts.failures)
        });
        let goes_on = matches!(attempts.wait, Some(Wait::Reply(_) | Wait::Retry(_)));
        broken.unless(!goes_on || attempts.failures < most, || {
            "it goes on after its last attempt".to_owned()
        });
    };
    count(Action::Execute, &step.execute);
    if let Some(compensation) = &step.compensation {
        count(Action::Compensate, &compensation.attempts);
    }
}

/// I4, and its mirror on the way forward; and that what can go out has gone out.
fn order(broken: &mut Broken, saga: &Saga, definition: &Definition, index: usize) {
    let step = &saga.steps[index];
    if saga.status == Status::Running && !saga.paused && step.status == StepStatus::Pending {
        let over = |need: &usize| {
            matches!(
                saga.steps[*need].status,
                StepStatus::Completed | StepStatus::Skipped
            )
        };
        let ready = definition.steps[index].needs.iter().all(over);
        broken.unless(!ready, || {
            "nothing holds it back, and it has not begun".to_owned()
        });
    }
    if saga.status == Status::Compensating && step.compensation.is_none() && !step.is_settled() {
        let ready = transitive_dependents(definition, index)
            .into_iter()
            .all(|later| saga.steps[later].is_settled());
        broken.unless(!ready, || {
            "nothing holds it back, and it is not undone".to_owned()
        });
    }
    if step.status != StepStatus::Pending {
        for need in &definition.steps[index].needs {
            let need = &saga.steps[*need];
            let over = need.status == StepStatus::Skipped || need.output.is_some();
            broken.unless(over, || {
                format!("it began before {}, which it needs", need.name)
            });
        }
    }
    if step.compensation.is_some() || step.status == StepStatus::Compensated {
        for later in transitive_dependents(definition, index) {
            let later = &saga.steps[later];
            broken.unless(later.is_settled(), || {
                format!("I4: it is undone before {}, which needs it", later.name)
            });
        }
    }
}

/// All that need the step, directly or through others.
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
