//! What must hold between the books once nothing is in flight: I2, I3 and I8.

use super::effects::{Effects, Side};
use saga_protocol::ledger::LedgerState;
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant: `I2`, `I3`, `I8`.
    pub invariant: &'static str,
    /// The saga.
    pub saga: Uuid,
    /// What does not fit, in a sentence.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.invariant, self.saga, self.what)
    }
}

/// All that does not fit.
pub fn check(effects: &Effects) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (saga, steps) in effects.iter() {
        for (step, side) in steps {
            let found = check_step(step, side, effects.complete_for(step, side));
            violations.extend(found.into_iter().map(|(invariant, what)| Violation {
                invariant,
                saga,
                what,
            }));
        }
        violations.extend(check_saga(steps).map(|what| Violation {
            invariant: "I2",
            saga,
            what,
        }));
    }
    violations
}

fn check_step(step: &str, side: &Side, complete: bool) -> Vec<(&'static str, String)> {
    let Side {
        state,
        happened,
        undone,
    } = *side;
    let mut found = Vec::new();
    if happened > 1 {
        found.push(("I8", format!("{step} happened {happened} times")));
    }
    if undone > happened {
        found.push((
            "I3",
            format!("{step} was undone {undone} times, and happened {happened} times"),
        ));
    }
    if !complete {
        return found;
    }
    let says = state.map_or_else(|| "nothing".to_owned(), |state| state.to_string());
    let fits = match state {
        Some(LedgerState::Done) => side.standing() == 1,
        Some(LedgerState::Compensated) => side.standing() == 0 && undone > 0,
        // Nobody knows, and the ledger says so.
        Some(LedgerState::Intended) => true,
        Some(LedgerState::New | LedgerState::Failed | LedgerState::Revoked) | None => {
            side.standing() == 0
        }
    };
    if !fits {
        found.push((
            "I2",
            format!("the ledger says {says} of {step}, which happened {happened} and was undone {undone} times"),
        ));
    }
    found
}

/// All done or all undone: nothing stands beside what was undone or revoked.
fn check_saga(steps: &BTreeMap<String, Side>) -> Option<String> {
    let names = |fits: fn(&Side) -> bool| -> Vec<&str> {
        steps
            .iter()
            .filter(|(_, side)| fits(side))
            .map(|(step, _)| step.as_str())
            .collect()
    };
    let standing = names(|side| side.state == Some(LedgerState::Done));
    let undone = names(|side| {
        matches!(
            side.state,
            Some(LedgerState::Compensated | LedgerState::Revoked)
        )
    });
    let mixed = !standing.is_empty() && !undone.is_empty();
    mixed.then(|| {
        format!(
            "{} stands, {} was undone or revoked",
            standing.join(", "),
            undone.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(sides: &[(&str, Option<LedgerState>, u32, u32)]) -> Vec<&'static str> {
        let mut effects = Effects::default();
        effects.with_gateway();
        for (step, state, happened, undone) in sides {
            *effects.side(Uuid::from_u128(1), step) = Side {
                state: *state,
                happened: *happened,
                undone: *undone,
            };
        }
        check(&effects)
            .into_iter()
            .map(|violation| violation.invariant)
            .collect()
    }

    #[test]
    fn what_fits_is_not_complained_of() {
        let done = Some(LedgerState::Done);
        assert!(verdict(&[("order", done, 1, 0), ("pay", done, 1, 0)]).is_empty());
        assert!(
            verdict(&[
                ("order", Some(LedgerState::Compensated), 1, 1),
                ("pay", Some(LedgerState::Revoked), 0, 0)
            ])
            .is_empty()
        );
        assert!(
            verdict(&[
                ("order", done, 1, 0),
                ("pay", Some(LedgerState::Failed), 0, 0)
            ])
            .is_empty()
        );
        assert!(verdict(&[("pay", Some(LedgerState::Intended), 1, 0)]).is_empty());
    }

    #[test]
    fn i2_i3_and_i8_are_told_apart() {
        assert_eq!(verdict(&[("pay", Some(LedgerState::Done), 2, 1)]), ["I8"]);
        assert_eq!(
            verdict(&[("pay", Some(LedgerState::Revoked), 0, 1)]),
            ["I3", "I2"]
        );
        assert_eq!(
            verdict(&[("pay", Some(LedgerState::Revoked), 1, 0)]),
            ["I2"]
        );
        assert_eq!(verdict(&[("pay", None, 1, 0)]), ["I2"]);
        assert_eq!(
            verdict(&[
                ("order", Some(LedgerState::Done), 1, 0),
                ("pay", Some(LedgerState::Compensated), 1, 1)
            ]),
            ["I2"]
        );
    }
}
