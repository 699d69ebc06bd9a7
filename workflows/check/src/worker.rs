//! All that a worker, its handler and the world can make of a command. What is decided and what is written is for the
//! rules of [`saga_protocol::ledger`], the very ones that a worker runs; here is what they are asked, and what is true.
//!
//! Every step is taken for one whose effect may be in the worker's database or outside it, whatever comes: so it can do
//! all that either can.

use super::ledger::{Answer, Command, Row, State, failure, fit, folded, unfit};
use super::state::NOW;
use saga_protocol::Action;
use saga_protocol::ledger::{
    self, Call, CallKind, CallResult, HandlerKind, LedgerDecision, LedgerEntry,
    LedgerState as Known, RecordedReply as Kept,
};
use saga_protocol::message::{self, Reply};
use std::time::Duration;

/// One thing that a worker can do next: the row since, and what it answers to which attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deed {
    pub row: Row,
    pub answer: Option<(Action, u8, Answer)>,
    pub why: Why,
}

/// What made the worker do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A command arrived.
    Command(Command),
    /// It hears at last what came of a call for that command.
    Late(Command),
    /// What it had taken on came to its end.
    Finished,
    /// A call that was left in doubt took effect.
    Landed,
}

/// Twice is once too often: nothing is counted further.
const MOST: u8 = 2;

/// All that can come of a command; `schema`: outputs may not fit.
pub(super) fn take(row: Row, command: Command, schema: bool, deeds: &mut Vec<Deed>) {
    let full = command.full();
    let mut taking = Taking {
        row,
        full,
        schema,
        why: Why::Command(command),
        deeds,
    };
    for site in sites(row) {
        let mut entry = row.entry();
        let decision = ledger::decide(&mut entry, &taking.full, *site, NOW);
        taking.go_on(row, entry, decision);
    }
    if row.state != State::New && sites(row).contains(&HandlerKind::External) {
        taking.why = Why::Late(command);
        taking.hear_late();
    }
}

/// Where the effect of a step with such a row can be. Only a handler inside takes a step on, and only a call outside
/// leaves a row in doubt.
fn sites(row: Row) -> &'static [HandlerKind] {
    match row.state {
        State::Accepted => &[HandlerKind::Transactional],
        _ if row.undo_landed => &[HandlerKind::External],
        _ => &HandlerKind::ALL,
    }
}

/// All that can happen without a command.
pub(super) fn by_itself(row: Row, schema: bool, deeds: &mut Vec<Deed>) {
    if row.state == State::Intended && row.standing == 0 {
        deeds.push(Deed {
            row: Row { standing: 1, ..row },
            answer: None,
            why: Why::Landed,
        });
    }
    let stands = [Some(fit()), schema.then(unfit)].into_iter().flatten();
    let stands = stands.map(|output| (Kept::completed(output), row.standing));
    for (answer, standing) in
        stands.chain([(Kept::failed(failure(false)), row.standing.saturating_sub(1))])
    {
        let mut entry = row.entry();
        if ledger::finish(&mut entry, answer, NOW) {
            let news = entry.outcome_reply().map(|news| said(&news));
            deeds.push(Deed {
                row: Row {
                    standing,
                    ..row.become_of(&entry)
                },
                answer: news,
                why: Why::Finished,
            });
        }
    }
}

fn said(reply: &Reply) -> (Action, u8, Answer) {
    (reply.action, folded(reply.attempt), Answer::of(reply))
}

/// A command that is being taken.
struct Taking<'a> {
    /// The row as it was found.
    row: Row,
    full: message::Command,
    schema: bool,
    why: Why,
    deeds: &'a mut Vec<Deed>,
}

impl Taking<'_> {
    fn add(&mut self, row: Row, answer: Option<(Action, u8, Answer)>) {
        let deed = Deed {
            row,
            answer,
            why: self.why,
        };
        if !self.deeds.contains(&deed) {
            self.deeds.push(deed);
        }
    }

    /// What comes of a decision. Of `world` that counts which is true, whatever the ledger says.
    fn go_on(&mut self, world: Row, entry: LedgerEntry, decision: LedgerDecision) {
        let call = match decision {
            LedgerDecision::Reply(reply) => {
                return self.add(world.become_of(&entry), Some(said(&reply)));
            }
            LedgerDecision::Call(call) => call,
        };
        if call.handler == HandlerKind::External {
            // It is committed, and the worker dies before the call, or behind it.
            self.add(world.become_of(&entry), None);
            self.add(self.after(world, call).become_of(&entry), None);
        }
        let done = self.after(world, call);
        for end in self.ends(call, self.has_landed(world, call)) {
            let effect = matches!(end, CallResult::Completed(_) | CallResult::Accepted(..));
            let mut entry = entry.clone();
            let next = ledger::settle(&mut entry, &self.full, call, end);
            self.go_on(if effect { done } else { world }, entry, next);
        }
    }

    /// What is true once a call took effect. Under one key it takes effect once, however often it is made.
    fn after(&self, world: Row, call: Call) -> Row {
        if self.has_landed(world, call) {
            return world;
        }
        match call.kind {
            CallKind::Execute | CallKind::Recover => Row {
                standing: MOST.min(world.standing + 1),
                ..world
            },
            CallKind::Compensate => Row {
                standing: world.standing.saturating_sub(1),
                undone: MOST.min(world.undone + 1),
                undone_for_nothing: world.undone_for_nothing || world.standing == 0,
                undo_landed: true,
                ..world
            },
        }
    }

    /// Whether a call with that key took effect before.
    fn has_landed(&self, world: Row, call: Call) -> bool {
        let in_doubt = self.row.state == State::Intended && call.key_generation == 0;
        match call.kind {
            CallKind::Execute | CallKind::Recover => in_doubt && world.standing > 0,
            CallKind::Compensate => world.undo_landed,
        }
    }

    /// All that a call can come to.
    fn ends(&self, call: Call, landed: bool) -> Vec<CallResult> {
        let mut ends = vec![
            CallResult::Completed(fit()),
            CallResult::Deferred {
                reason: String::new(),
                retry_after: Duration::ZERO,
            },
        ];
        if call.kind == CallKind::Execute {
            ends.extend(self.schema.then(|| CallResult::Completed(unfit())));
            ends.extend(
                (call.handler == HandlerKind::Transactional)
                    .then(|| CallResult::Accepted(fit(), None)),
            );
        }
        if !landed {
            ends.extend([true, false].map(|retryable| CallResult::Failed(failure(retryable))));
        }
        ends.extend(
            (call.handler == HandlerKind::External).then(|| CallResult::Unknown(String::new())),
        );
        ends
    }

    /// What came of a call that was made for this command before the row became what it is, or under an older key.
    fn hear_late(&mut self) {
        let kinds: &[CallKind] = match self.full.action {
            Action::Execute => &[CallKind::Execute],
            Action::Compensate if self.full.revoke_only => &[],
            Action::Compensate => &[CallKind::Compensate, CallKind::Recover],
        };
        for kind in kinds {
            let made_for = if *kind == CallKind::Compensate {
                Known::Done
            } else {
                Known::Intended
            };
            let call = Call {
                kind: *kind,
                handler: HandlerKind::External,
                key_generation: 0,
            };
            let mut entry = self.row.entry();
            let current = entry.state == made_for;
            // Of the key that it has now what comes is no news; the one before it was replaced for this answer.
            let older = u32::from(current);
            (entry.key_generation, entry.compensation_key_generation) = (older, older);
            let definite = |end: &CallResult| matches!(end, CallResult::Failed(_));
            for end in self
                .ends(call, false)
                .into_iter()
                .filter(|end| !current || definite(end))
            {
                let mut entry = entry.clone();
                let decision = ledger::settle(&mut entry, &self.full, call, end);
                (entry.key_generation, entry.compensation_key_generation) = (
                    entry.key_generation - older,
                    entry.compensation_key_generation - older,
                );
                if let LedgerDecision::Reply(reply) = decision {
                    self.add(self.row.become_of(&entry), Some(said(&reply)));
                }
            }
        }
    }
}
