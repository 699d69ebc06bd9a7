//! `/`: how it goes.

use super::counts::{Chip, Item, attention, chips};
use super::frame::{Frame, Refused, page};
use super::rows::List;
use super::words::{Moment, span};
use crate::engine::unhandled_steps;
use crate::http::problem::Result;
use crate::http::query::Parameters;
use crate::http::{App, workers};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use saga_core::definition::Definition;
use std::time::Duration;

const ROWS: u32 = 20;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    counts: Vec<Chip>,
    oldest: Option<Moment>,
    attention: Vec<Item>,
    workers: Vec<Worker>,
    /// Steps of which members are there, and none serves them.
    unhandled: Vec<String>,
    list: List,
}

struct Worker {
    name: String,
    queued: u64,
    in_flight: u64,
    oldest: String,
    members: usize,
}

pub(super) async fn overview(State(app): State<App>, parameters: Parameters) -> Response {
    match read(&app, &parameters).await {
        Ok(overview) => page(StatusCode::OK, &overview),
        Err(problem) => Refused::new(&app, problem).into_response(),
    }
}

async fn read(app: &App, parameters: &Parameters) -> Result<Overview> {
    let counts = app.db.counts().await?;
    let now = app.engine.now();
    let worker = |worker: workers::WorkerView| Worker {
        oldest: if worker.lag == 0 {
            String::new()
        } else {
            span(Duration::from_secs_f64(worker.oldest_age_seconds.max(0.0)))
        },
        name: worker.worker,
        queued: worker.queued,
        in_flight: worker.in_flight,
        members: worker.members.len(),
    };
    Ok(Overview {
        frame: Frame::of(app, "/"),
        oldest: counts.oldest_in_flight.map(|at| Moment::of(at, now)),
        counts: chips(&counts),
        attention: attention(app, now).await?,
        workers: workers::all(app).into_iter().map(worker).collect(),
        unhandled: unserved_steps(app),
        list: List::read(app, "/", parameters, ROWS).await?,
    })
}

fn unserved_steps(app: &App) -> Vec<String> {
    let workers = app.bus.workers();
    let known = app.engine.definitions().all();
    let steps = known.iter().flat_map(|known| {
        let Definition {
            workflow, version, ..
        } = &*known.definition;
        let able = unhandled_steps(&known.definition, &workers)
            .into_iter()
            .filter(|step| step.members > 0);
        able.map(move |one| {
            format!(
                "{} of {workflow}@{version}, by worker {}",
                one.step, one.worker
            )
        })
    });
    steps.collect()
}
