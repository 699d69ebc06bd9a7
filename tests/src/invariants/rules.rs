//! The invariants: the final status of each saga compared with the effects at its workers and the gateway.

use crate::cluster::WORKERS;
use saga_core::saga::Status;
use saga_protocol::ledger::LedgerState;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use workers::reconcile::{Effects, StepEffects, check as check_effects};

/// Every violation, as a sentence that starts with the invariant.
pub fn find_violations(sagas: &BTreeMap<Uuid, Status>, mut effects: Effects) -> Vec<String> {
    let mut violations = Vec::new();
    let nothing = BTreeMap::new();
    let all: BTreeMap<Uuid, &BTreeMap<String, StepEffects>> = effects.iter().collect();
    for (id, status) in sagas {
        let steps = all.get(id).copied().unwrap_or(&nothing);
        violations.extend(
            status_violation(*status, steps)
                .map(|violation| format!("{violation}: saga {id}, {steps:?}")),
        );
        violations.extend(
            revoked_but_executed(steps)
                .map(|step| format!("I3: {step} was executed although it is revoked: saga {id}")),
        );
    }
    violations.extend(
        all.keys()
            .filter(|id| !sagas.contains_key(id))
            .map(|id| format!("effects without a saga: {id}")),
    );
    // A parked saga is half done by definition.
    let parked = sagas
        .iter()
        .filter(|(_, status)| **status == Status::Parked)
        .map(|(id, _)| *id);
    effects.remove(&parked.collect::<BTreeSet<_>>());
    violations.extend(check_effects(&effects).iter().map(ToString::to_string));
    violations
}

/// The violation of a final status, given the effects.
fn status_violation(status: Status, steps: &BTreeMap<String, StepEffects>) -> Option<&'static str> {
    let stands = |step: &str| steps.get(step).map_or(0, StepEffects::remaining);
    match status {
        Status::Completed if WORKERS.iter().any(|step| stands(step) != 1) => {
            Some("I2: completed, but a step does not have exactly one effect")
        }
        Status::Compensated if steps.keys().any(|step| stands(step) != 0) => {
            Some("I2: compensated, but an effect remains")
        }
        Status::Running | Status::Compensating => Some("I1: neither finished nor parked"),
        Status::Completed | Status::Compensated | Status::Parked => None,
    }
}

/// Steps that were revoked before they executed and executed nevertheless, even if only to be compensated.
fn revoked_but_executed(steps: &BTreeMap<String, StepEffects>) -> impl Iterator<Item = &String> {
    let broken = |side: &StepEffects| {
        side.state == Some(LedgerState::Revoked) && (side.executed, side.compensated) != (0, 0)
    };
    steps
        .iter()
        .filter(move |(_, side)| broken(side))
        .map(|(step, _)| step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAGA: Uuid = Uuid::from_u128(1);

    /// The violated invariants, given a saga's status and, for each step, its ledger state, executions and
    /// compensations.
    fn broken(status: Status, sides: &[(&str, LedgerState, u32, u32)]) -> Vec<String> {
        broken_with(&BTreeMap::from([(SAGA, status)]), sides)
    }

    fn broken_with(
        sagas: &BTreeMap<Uuid, Status>,
        sides: &[(&str, LedgerState, u32, u32)],
    ) -> Vec<String> {
        let mut effects = Effects::default();
        effects.set_gateway_included();
        for (step, state, executed, compensated) in sides {
            *effects.step(SAGA, step) = StepEffects {
                state: Some(*state),
                executed: *executed,
                compensated: *compensated,
            };
        }
        let mut names: Vec<_> = find_violations(sagas, effects)
            .iter()
            .map(|violation| violation[..2].to_owned())
            .collect();
        names.dedup();
        names
    }

    const ALL_DONE: [(&str, LedgerState, u32, u32); 4] = [
        ("order", LedgerState::Done, 1, 0),
        ("pay", LedgerState::Done, 1, 0),
        ("store", LedgerState::Done, 1, 0),
        ("deliver", LedgerState::Done, 1, 0),
    ];
    const UNDONE: [(&str, LedgerState, u32, u32); 3] = [
        ("order", LedgerState::Compensated, 1, 1),
        ("pay", LedgerState::Failed, 0, 0),
        ("store", LedgerState::Revoked, 0, 0),
    ];

    #[test]
    fn consistent_effects_violate_nothing() {
        assert!(broken(Status::Completed, &ALL_DONE).is_empty());
        assert!(broken(Status::Compensated, &UNDONE).is_empty());
        assert!(broken(Status::Compensated, &[]).is_empty());
        let half = [
            ("order", LedgerState::Done, 1, 0),
            ("store", LedgerState::Compensated, 1, 1),
        ];
        assert!(
            broken(Status::Parked, &half).is_empty(),
            "parked sagas are exempt"
        );
    }

    #[test]
    fn inconsistent_effects_name_their_invariant() {
        assert_eq!(broken(Status::Running, &[]), ["I1"]);
        assert_eq!(broken(Status::Compensating, &UNDONE), ["I1"]);
        assert_eq!(
            broken(Status::Completed, &ALL_DONE[..3]),
            ["I2"],
            "a step is missing"
        );
        assert_eq!(broken(Status::Compensated, &ALL_DONE), ["I2"]);
        assert_eq!(broken(Status::Completed, &UNDONE), ["I2"]);
        assert_eq!(
            broken(Status::Compensated, &[("pay", LedgerState::Revoked, 1, 1)]),
            ["I3"]
        );
        assert_eq!(
            broken(
                Status::Compensated,
                &[("pay", LedgerState::Compensated, 2, 2)]
            ),
            ["I8"]
        );
        assert_eq!(
            broken_with(&BTreeMap::new(), &UNDONE),
            ["ef"],
            "effects without a saga"
        );
    }
}
