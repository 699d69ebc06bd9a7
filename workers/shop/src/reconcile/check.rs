//! The invariants I2, I3 and I8, which hold once nothing is in flight.

use super::effects::{Effects, StepEffects};
use saga_protocol::ledger::LedgerState;
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `I2`, `I3` or `I8`.
    pub invariant: &'static str,
    pub saga: Uuid,
    /// What is inconsistent, in a sentence.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.invariant, self.saga, self.message)
    }
}

/// All violations.
pub fn check(effects: &Effects) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (saga, steps) in effects.iter() {
        let mut add = |(invariant, message)| {
            violations.push(Violation {
                invariant,
                saga,
                message,
            });
        };
        for (name, step) in steps {
            let is_complete = effects.is_complete(name, step);
            check_step(name, step, is_complete)
                .into_iter()
                .for_each(&mut add);
        }
        check_saga(steps)
            .map(|message| ("I2", message))
            .into_iter()
            .for_each(&mut add);
    }
    violations
}

fn check_step(name: &str, step: &StepEffects, is_complete: bool) -> Vec<(&'static str, String)> {
    let StepEffects {
        state,
        executed,
        compensated,
    } = *step;
    let counts = format!("it was executed {executed} and compensated {compensated} times");

    let mut violations = Vec::new();
    if executed > 1 {
        violations.push(("I8", format!("step {name}: {counts}")));
    }
    if compensated > executed {
        violations.push(("I3", format!("step {name}: {counts}")));
    }
    if !is_complete {
        return violations;
    }

    let is_consistent = match state {
        Some(LedgerState::Done) => step.remaining() == 1,
        Some(LedgerState::Compensated) => step.remaining() == 0 && compensated > 0,
        // The ledger itself says that the outcome is unknown.
        Some(LedgerState::Intended) => true,
        Some(LedgerState::New | LedgerState::Failed | LedgerState::Revoked) | None => {
            step.remaining() == 0
        }
    };
    if !is_consistent {
        let state = state.map_or("missing", LedgerState::as_str);
        violations.push((
            "I2",
            format!("step {name}: the ledger says {state}, {counts}"),
        ));
    }
    violations
}

/// A saga's steps are all done or all undone: no step is done beside one that was compensated or
/// revoked.
fn check_saga(steps: &BTreeMap<String, StepEffects>) -> Option<String> {
    let names = |matches: fn(LedgerState) -> bool| -> Vec<&str> {
        steps
            .iter()
            .filter(|(_, step)| step.state.is_some_and(matches))
            .map(|(name, _)| name.as_str())
            .collect()
    };
    let done = names(|state| state == LedgerState::Done);
    let undone = names(|state| matches!(state, LedgerState::Compensated | LedgerState::Revoked));

    let is_mixed = !done.is_empty() && !undone.is_empty();
    is_mixed.then(|| {
        format!(
            "{} done, but {} compensated or revoked",
            done.join(", "),
            undone.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violated(steps: &[(&str, Option<LedgerState>, u32, u32)]) -> Vec<&'static str> {
        let mut effects = Effects::default();
        effects.set_gateway_included();
        for (name, state, executed, compensated) in steps {
            *effects.step(Uuid::from_u128(1), name) = StepEffects {
                state: *state,
                executed: *executed,
                compensated: *compensated,
            };
        }
        check(&effects)
            .into_iter()
            .map(|violation| violation.invariant)
            .collect()
    }

    #[test]
    fn consistent_effects_have_no_violations() {
        let done = Some(LedgerState::Done);
        assert!(violated(&[("order", done, 1, 0), ("pay", done, 1, 0)]).is_empty());
        assert!(
            violated(&[
                ("order", Some(LedgerState::Compensated), 1, 1),
                ("pay", Some(LedgerState::Revoked), 0, 0)
            ])
            .is_empty()
        );
        assert!(
            violated(&[
                ("order", done, 1, 0),
                ("pay", Some(LedgerState::Failed), 0, 0)
            ])
            .is_empty()
        );
        assert!(violated(&[("pay", Some(LedgerState::Intended), 1, 0)]).is_empty());
    }

    #[test]
    fn i2_i3_and_i8_violations_are_distinguished() {
        assert_eq!(violated(&[("pay", Some(LedgerState::Done), 2, 1)]), ["I8"]);
        assert_eq!(
            violated(&[("pay", Some(LedgerState::Revoked), 0, 1)]),
            ["I3", "I2"]
        );
        assert_eq!(
            violated(&[("pay", Some(LedgerState::Revoked), 1, 0)]),
            ["I2"]
        );
        assert_eq!(violated(&[("pay", None, 1, 0)]), ["I2"]);
        assert_eq!(
            violated(&[
                ("order", Some(LedgerState::Done), 1, 0),
                ("pay", Some(LedgerState::Compensated), 1, 1)
            ]),
            ["I2"]
        );
    }
}
