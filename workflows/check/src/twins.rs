//! Steps that are interchangeable, and so told apart only by where they are.

use super::node::Local;
use super::state::Part;
use saga_core::definition::{Definition, Step};

/// Steps that nothing but their name tells apart.
pub(super) fn of(definition: &Definition) -> Vec<Vec<usize>> {
    // A ledger is lost by all the steps of its worker.
    let alone = |step: &Step| {
        definition
            .steps
            .iter()
            .filter(|other| other.worker == step.worker)
            .count()
            == 1
    };
    let alike = |a: &Step, b: &Step| {
        let attempts = |step: &Step| (!step.retries_without_limit()).then_some(step.retry.attempts);
        let compensation = |step: &Step| step.compensation.as_ref().map(|it| it.retry.attempts);
        // A time-out has a code too.
        let codes = |step: &Step| {
            let compensation = step
                .compensation
                .as_ref()
                .map(|it| it.retry.not_retryable.clone());
            (step.retry.not_retryable.clone(), compensation)
        };
        (
            &a.needs,
            &a.dependents,
            a.position,
            a.when.is_some(),
            a.reminder.is_some(),
            a.output_schema.is_some(),
        ) == (
            &b.needs,
            &b.dependents,
            b.position,
            b.when.is_some(),
            b.reminder.is_some(),
            b.output_schema.is_some(),
        ) && (attempts(a), compensation(a), codes(a)) == (attempts(b), compensation(b), codes(b))
            && (a.worker == b.worker || alone(a) && alone(b))
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, step) in definition.steps.iter().enumerate() {
        match groups
            .iter_mut()
            .find(|group| alike(&definition.steps[group[0]], step))
        {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// Puts twins into one order, and says which step stands where now; nothing: each where it was.
pub(super) fn order(parts: &mut [Part], locals: &mut [Local], twins: &[Vec<usize>]) -> Vec<usize> {
    let mut from = Vec::new();
    for group in twins {
        if group.is_sorted_by_key(|step| (parts[*step], locals[*step])) {
            continue;
        }
        let mut members: Vec<_> = group
            .iter()
            .map(|step| (parts[*step], locals[*step], *step))
            .collect();
        members.sort();
        if from.is_empty() {
            from = (0..parts.len()).collect();
        }
        for (place, (part, local, step)) in group.iter().zip(members) {
            parts[*place] = part;
            locals[*place] = local;
            from[*place] = step;
        }
    }
    from
}
