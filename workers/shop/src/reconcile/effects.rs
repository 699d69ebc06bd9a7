//! What is known of each step of each saga.

use saga_protocol::ledger::LedgerState;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// One step of one saga, from both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// What the ledger says; `None`: it has no row.
    pub state: Option<LedgerState>,
    /// How often the effect happened.
    pub happened: u32,
    /// How often it was undone.
    pub undone: u32,
}

/// Every step of every saga, by saga and step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    steps: BTreeMap<Uuid, BTreeMap<String, Side>>,
    gateway: bool,
}

impl Effects {
    /// That step, as far as it is known.
    pub fn side(&mut self, saga: Uuid, step: &str) -> &mut Side {
        self.steps
            .entry(saga)
            .or_default()
            .entry(step.to_owned())
            .or_default()
    }

    /// The gateway's books have been read too. Without them nothing is said of payments that it may have made.
    pub const fn with_gateway(&mut self) {
        self.gateway = true;
    }

    /// Whether all that this step could have done is known.
    pub fn complete_for(&self, step: &str, side: &Side) -> bool {
        step != "pay" || self.gateway || side.happened > 0
    }

    /// How many sagas there are.
    pub fn sagas(&self) -> usize {
        self.steps.len()
    }

    /// Saga by saga.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &BTreeMap<String, Side>)> {
        self.steps.iter().map(|(saga, steps)| (*saga, steps))
    }

    /// Takes the word of somebody who knows that these sagas have not ended.
    pub fn forget(&mut self, sagas: &BTreeSet<Uuid>) {
        self.steps.retain(|saga, _| !sagas.contains(saga));
    }
}

impl Side {
    /// How often the effect stands.
    pub const fn standing(&self) -> i64 {
        self.happened as i64 - self.undone as i64
    }
}
