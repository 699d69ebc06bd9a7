//! Symmetry reduction: interchangeable steps are distinguished by their position alone.

use super::node::WorkerState;
use super::state::AbstractStep;
use saga_core::definition::{Definition, Step};

/// Groups of two or more steps that differ in nothing but their name.
pub(super) fn symmetric_groups(definition: &Definition) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, step) in definition.steps.iter().enumerate() {
        let group = groups
            .iter_mut()
            .find(|group| are_interchangeable(definition, &definition.steps[group[0]], step));
        match group {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }

    groups.retain(|group| group.len() > 1);
    groups
}

fn are_interchangeable(definition: &Definition, a: &Step, b: &Step) -> bool {
    // A lost ledger affects all steps of its worker.
    let has_own_worker = |step: &Step| {
        let sharing = definition
            .steps
            .iter()
            .filter(|other| other.worker == step.worker);
        sharing.count() == 1
    };
    let same_workers = a.worker == b.worker || has_own_worker(a) && has_own_worker(b);

    let shape = |step: &Step| {
        (
            step.position,
            step.when.is_some(),
            step.reminder.is_some(),
            step.output_schema.is_some(),
        )
    };
    let attempts = |step: &Step| (!step.retries_without_limit()).then_some(step.retry.attempts);
    let compensation_attempts =
        |step: &Step| step.compensation.as_ref().map(|it| it.retry.attempts);
    // Codes matter, because a time-out has one too.
    let compensation_codes = |step: &Step| {
        step.compensation
            .as_ref()
            .map(|it| it.retry.not_retryable.clone())
    };

    a.needs == b.needs
        && a.dependents == b.dependents
        && shape(a) == shape(b)
        && attempts(a) == attempts(b)
        && compensation_attempts(a) == compensation_attempts(b)
        && a.retry.not_retryable == b.retry.not_retryable
        && compensation_codes(a) == compensation_codes(b)
        && same_workers
}

/// Sorts the members of each group. Returns the former position of the step at each position, or
/// nothing if all of them kept theirs.
pub(super) fn canonicalize(
    steps: &mut [AbstractStep],
    workers: &mut [WorkerState],
    groups: &[Vec<usize>],
) -> Vec<usize> {
    let mut permutation = Vec::new();
    for group in groups {
        if group.is_sorted_by_key(|step| (steps[*step], workers[*step])) {
            continue;
        }
        let mut members: Vec<_> = group
            .iter()
            .map(|step| (steps[*step], workers[*step], *step))
            .collect();
        members.sort();

        if permutation.is_empty() {
            permutation = (0..steps.len()).collect();
        }
        for (position, (step, worker, former)) in group.iter().zip(members) {
            steps[*position] = step;
            workers[*position] = worker;
            permutation[*position] = former;
        }
    }
    permutation
}
