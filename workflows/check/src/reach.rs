//! All that a worker can make of one row of its ledger, if nobody else moves.

use super::hash::Map;
use super::ledger::{Command, Row};
use super::node::Local;
use super::oracle::{self, Among};
use super::state::Part;
use super::worker::{Deed, by_itself, take};
use saga_core::definition::Step;
use saga_protocol::Action;
use std::rc::Rc;

/// The commands of a step that were ever sent: each may still arrive, and any number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Commands {
    sent: [u8; 2],
    happened: bool,
    revoke_only: bool,
    /// Outputs may not fit.
    schema: bool,
}

impl Commands {
    /// Of a step that stands like this.
    pub fn of(part: &Part, local: &Local, defined: &Step) -> Self {
        let sent = |action: Action| part.sent(action) + u8::from(local.ghosts[action as usize]);
        Self {
            sent: [
                if local.lost { 0 } else { sent(Action::Execute) },
                sent(Action::Compensate),
            ],
            happened: part.happened,
            revoke_only: defined.compensation.is_none(),
            schema: defined.output_schema.is_some(),
        }
    }

    fn each(self) -> impl Iterator<Item = Command> {
        let Self {
            sent,
            happened,
            revoke_only,
            ..
        } = self;
        [Action::Execute, Action::Compensate]
            .into_iter()
            .flat_map(move |action| {
                (1..=sent[action as usize]).map(move |attempt| Command {
                    action,
                    attempt,
                    happened,
                    revoke_only,
                })
            })
    }

    /// All that a worker can do next.
    fn deeds(self, row: Row) -> Vec<Deed> {
        let mut deeds = Vec::new();
        by_itself(row, self.schema, &mut deeds);
        for command in self.each() {
            take(row, command, self.schema, &mut deeds);
        }
        deeds
    }
}

/// All that a worker can make of a row, if nobody else moves.
#[derive(Debug)]
pub(super) struct Reach {
    /// What it can do next.
    pub next: Rc<[Deed]>,
    /// Each answer, with the fewest deeds that lead to it; it is the last one's.
    pub offers: Vec<Rc<[Deed]>>,
    /// What is wrong with one of the rows.
    pub broken: Option<&'static str>,
    /// What is true of one of the rows at least.
    pub some: Among,
}

/// Remembers each [`Reach`], and what can be done next to each row.
#[derive(Default)]
pub(super) struct Reaches {
    known: Map<(Row, Commands), Rc<Reach>>,
    deeds: Map<(Row, Commands), Rc<[Deed]>>,
}

impl Reaches {
    pub fn of(&mut self, row: Row, commands: Commands) -> Rc<Reach> {
        if let Some(known) = self.known.get(&(row, commands)) {
            return Rc::clone(known);
        }
        let deeds = &mut self.deeds;
        let mut next = |row| {
            Rc::clone(
                deeds
                    .entry((row, commands))
                    .or_insert_with(|| commands.deeds(row).into()),
            )
        };
        let reach = Rc::new(reach(row, &mut next));
        self.known.insert((row, commands), Rc::clone(&reach));
        reach
    }
}

fn reach(row: Row, deeds: &mut dyn FnMut(Row) -> Rc<[Deed]>) -> Reach {
    let mut rows: Vec<(Row, Option<(usize, Deed)>)> = vec![(row, None)];
    let mut onward: Vec<Vec<usize>> = Vec::new();
    let mut answers: Vec<(usize, Deed, usize)> = Vec::new();
    let mut next = 0;
    while next < rows.len() {
        let mut to = Vec::new();
        for deed in deeds(rows[next].0).iter().copied() {
            let known = rows.iter().position(|(row, _)| *row == deed.row);
            let target = known.unwrap_or_else(|| {
                rows.push((deed.row, Some((next, deed))));
                rows.len() - 1
            });
            to.push(target);
            if deed.answer.is_some() {
                answers.push((next, deed, target));
            }
        }
        onward.push(to);
        next += 1;
    }
    let broken = rows.iter().find_map(|(row, _)| oracle::row_breaks(row));
    let some = Among::rows(row, rows.iter().map(|(row, _)| row));
    let offers = fewest(&answers, &onward)
        .into_iter()
        .map(|(from, last)| path(&rows, from, last))
        .collect();
    Reach {
        next: deeds(row),
        offers,
        broken,
        some,
    }
}

/// The deeds that lead to a row, and one more.
fn path(rows: &[(Row, Option<(usize, Deed)>)], from: usize, last: Deed) -> Rc<[Deed]> {
    let mut deeds = vec![last];
    let mut at = from;
    while let Some((earlier, deed)) = rows[at].1 {
        deeds.push(deed);
        at = earlier;
    }
    deeds.reverse();
    deeds.into()
}

/// Of the ways to one answer, those that no other way leads on to: what comes between can come later as well.
fn fewest(answers: &[(usize, Deed, usize)], onward: &[Vec<usize>]) -> Vec<(usize, Deed)> {
    let leads: Vec<Vec<bool>> = (0..onward.len())
        .map(|from| closure(from, onward))
        .collect();
    let mut kept: Vec<(usize, Deed, usize)> = Vec::new();
    for way in answers {
        let rival =
            |other: &&(usize, Deed, usize)| other.1.answer == way.1.answer && leads[other.2][way.2];
        let earlier = kept.iter().any(|other| rival(&other));
        let strictly = answers
            .iter()
            .filter(rival)
            .any(|other| !leads[way.2][other.2]);
        if !earlier && !strictly {
            kept.push(*way);
        }
    }
    kept.into_iter()
        .map(|(from, deed, _)| (from, deed))
        .collect()
}

fn closure(from: usize, onward: &[Vec<usize>]) -> Vec<bool> {
    let mut seen = vec![false; onward.len()];
    let mut open = vec![from];
    seen[from] = true;
    while let Some(at) = open.pop() {
        for to in &onward[at] {
            if !std::mem::replace(&mut seen[*to], true) {
                open.push(*to);
            }
        }
    }
    seen
}
