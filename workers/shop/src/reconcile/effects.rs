//! The recorded state and the counted effects of each step of each saga.

use saga_protocol::ledger::LedgerState;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A step of a saga: what its ledger says, and what its worker's tables or the gateway contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepEffects {
    /// The state in the ledger; `None` without a row.
    pub state: Option<LedgerState>,
    /// How often the step was executed.
    pub executed: u32,
    /// How often it was compensated.
    pub compensated: u32,
}

impl StepEffects {
    /// How many effects remain.
    pub const fn remaining(&self) -> i64 {
        self.executed as i64 - self.compensated as i64
    }
}

/// The steps of all sagas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    sagas: BTreeMap<Uuid, BTreeMap<String, StepEffects>>,
    includes_gateway: bool,
}

impl Effects {
    /// A step, added if it is not known yet.
    pub fn step(&mut self, saga: Uuid, step: &str) -> &mut StepEffects {
        self.sagas
            .entry(saga)
            .or_default()
            .entry(step.to_owned())
            .or_default()
    }

    /// Records that the gateway's charges are included. Without them payments cannot be checked.
    pub const fn set_gateway_included(&mut self) {
        self.includes_gateway = true;
    }

    /// Whether all effects that the step may have had are included.
    pub fn is_complete(&self, step: &str, effects: &StepEffects) -> bool {
        step != "pay" || self.includes_gateway || effects.executed > 0
    }

    /// The number of sagas.
    pub fn saga_count(&self) -> usize {
        self.sagas.len()
    }

    /// The sagas with their steps by name.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &BTreeMap<String, StepEffects>)> {
        self.sagas.iter().map(|(saga, steps)| (*saga, steps))
    }

    /// Removes sagas, usually because they have not ended.
    pub fn remove(&mut self, sagas: &BTreeSet<Uuid>) {
        self.sagas.retain(|saga, _| !sagas.contains(saga));
    }
}
