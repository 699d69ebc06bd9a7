//! How many sagas there are, and which of them need a person.

use super::words::{Moment, icon, short};
use crate::db::{ListFilter, SagaCounts};
use crate::http::problem::Result;
use crate::http::{App, shown};
use saga_core::saga::{Saga, Status};
use saga_core::transition::waiting_for;
use saga_protocol::Time;

/// As many as fit on a page; the chips lead to the rest.
const SHOWN: usize = 10;
/// Sagas that are looked at to find those that retry a compensation, or are past their deadline.
const LOOKED_AT: u32 = 100;

/// How many sagas have a status.
pub(super) struct Chip {
    pub word: &'static str,
    pub icon: &'static str,
    pub count: u64,
}

pub(super) fn chips(counts: &SagaCounts) -> Vec<Chip> {
    let count = |status: Status| {
        counts
            .by_status
            .iter()
            .filter(|(_, is, _)| *is == status)
            .map(|(_, _, count)| count)
            .sum()
    };
    let chip = |status: &Status| Chip {
        word: status.as_str(),
        icon: icon(status.as_str()),
        count: count(*status),
    };
    Status::ALL.iter().map(chip).collect()
}

/// A saga that needs a person, and why.
pub(super) struct Item {
    pub id: String,
    pub short_key: String,
    pub workflow: String,
    pub version: u32,
    pub status: &'static str,
    pub icon: &'static str,
    pub started: Moment,
    pub why: String,
}

/// Parked, retrying a compensation, or past their deadline.
///
/// # Errors
/// Those of the database.
pub(super) async fn attention(app: &App, now: Time) -> Result<Vec<Item>> {
    let of = |status: &[Status]| ListFilter {
        status: status.to_vec(),
        limit: LOOKED_AT,
        ..ListFilter::default()
    };
    let mut items = Vec::new();
    for filter in [
        of(&[Status::Parked]),
        of(&[Status::Compensating, Status::Running]),
    ] {
        for state in app.db.list(&filter).await?.states {
            let saga = shown::parse(&state)?;
            if items.len() < SHOWN && needs_attention(&saga) {
                items.push(item(app, &saga, now).await?);
            }
        }
    }
    Ok(items)
}

fn needs_attention(saga: &Saga) -> bool {
    let retries = |step: &saga_core::saga::Step| {
        step.compensation
            .as_ref()
            .is_some_and(|compensation| !compensation.settled && compensation.attempts.failures > 0)
    };
    saga.status == Status::Parked || saga.past_deadline || saga.steps.iter().any(retries)
}

async fn item(app: &App, saga: &Saga, now: Time) -> Result<Item> {
    let definition = shown::definition(app, saga).await?;
    let why = waiting_for(&definition, saga, now).unwrap_or_default();
    let why = if saga.past_deadline {
        format!("past its deadline; {why}")
    } else {
        why
    };
    Ok(Item {
        id: saga.id.to_string(),
        short_key: short(&saga.key),
        workflow: saga.workflow.clone(),
        version: saga.version,
        status: saga.status.as_str(),
        icon: icon(saga.status.as_str()),
        started: Moment::of(saga.started_at, now),
        why,
    })
}
