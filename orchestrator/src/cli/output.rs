//! The formats of data. Data goes to stdout, and nothing else does.

use super::client::parse_response;
use super::color::{Color, DIM, status_style, step_style};
use super::exit::Failure;
use super::table::{Cell, escape_control, table};
use crate::api::{OpenEnum, SagaDto, StatusIcon, StepDto, format_duration};
use clap::{Args, ValueEnum};
use saga_core::saga::{Status, StepStatus};
use saga_protocol::Time;
use serde_json::value::RawValue;
use std::io::Write;

/// How to print data.
#[derive(Args, Clone, Debug)]
pub struct Output {
    /// Format: a table, the JSON of the server, an item a line, or an id a line
    #[arg(
        short = 'o',
        long = "output",
        value_name = "table|json|jsonl|id",
        default_value = "table"
    )]
    pub form: Form,

    /// Print without colors, as with NO_COLOR
    #[arg(long)]
    pub no_color: bool,
}

/// A format of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Table,
    /// The JSON of the server, unchanged.
    Json,
    /// An item a line.
    Jsonl,
    /// An id a line.
    Id,
}

/// Prints data. A closed pipe (`| head`) is no failure.
///
/// # Errors
/// If stdout cannot be written for another reason.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed("failed to write to stdout", error))
        }
        _ => Ok(()),
    }
}

impl Output {
    /// Whether to color the output.
    pub fn color(&self) -> Color {
        Color::for_stdout(self.no_color)
    }

    /// A saga in this format.
    ///
    /// # Errors
    /// If the response is no saga.
    pub fn saga(&self, response: &str) -> Result<String, Failure> {
        let saga = || parse_response::<SagaDto>(response);
        Ok(match self.form {
            Form::Json | Form::Jsonl => format!("{}\n", response.trim_end()),
            Form::Id => format!("{}\n", saga()?.id),
            Form::Table => saga_card(&saga()?, self.color()),
        })
    }

    /// Sagas in this format.
    ///
    /// # Errors
    /// If one of them is no saga.
    pub fn sagas(&self, items: &[Box<RawValue>], next: Option<&str>) -> Result<String, Failure> {
        let sagas = || {
            let sagas = items
                .iter()
                .map(|item| parse_response::<SagaDto>(item.get()));
            sagas.collect::<Result<Vec<_>, _>>()
        };
        Ok(match self.form {
            Form::Json => list_json("sagas", items, next),
            Form::Jsonl => lines(items.iter().map(|item| item.get().to_owned())),
            Form::Id => lines(sagas()?.into_iter().map(|saga| saga.id.to_string())),
            Form::Table => saga_table(&sagas()?, self.color()),
        })
    }
}

/// A line for each item.
pub fn lines(items: impl Iterator<Item = String>) -> String {
    items.map(|item| item + "\n").collect()
}

/// A list in the JSON of the server, its items unchanged.
pub fn list_json(name: &str, items: &[Box<RawValue>], next: Option<&str>) -> String {
    let items: Vec<_> = items.iter().map(|item| item.get()).collect();
    let next = serde_json::Value::from(next);
    format!("{{\"{name}\":[{}],\"next\":{next}}}\n", items.join(","))
}

fn saga_table(sagas: &[SagaDto], color: Color) -> String {
    let heading = [
        "ID",
        "STATUS",
        "WORKFLOW",
        "KEY",
        "STEP",
        "DONE",
        "STARTED (UTC)",
        "TOOK",
        "ERROR",
    ];
    let rows = sagas.iter().map(saga_row).collect();
    table(&heading, rows, color)
}

fn saga_row(saga: &SagaDto) -> Vec<Cell> {
    // The key is the id unless the caller gave one.
    let key = if saga.key == saga.id.to_string() {
        ""
    } else {
        &saga.key
    };
    let done = saga.steps.iter().filter(|step| {
        matches!(
            step.status,
            OpenEnum::Known(StepStatus::Completed | StepStatus::Skipped)
        )
    });
    let error = saga.steps.iter().find_map(|step| step.error.as_ref());
    let error = error.or(saga.failure.as_ref().map(|failure| &failure.error));

    vec![
        saga.id.to_string().into(),
        status_cell(&saga.status),
        format!("{}@{}", saga.workflow, saga.version).into(),
        key.into(),
        active_steps(saga).into(),
        format!("{}/{}", done.count(), saga.steps.len()).into(),
        timestamp(saga.started_at).into(),
        duration_of(saga).into(),
        error.map(ToString::to_string).unwrap_or_default().into(),
    ]
}

fn active_steps(saga: &SagaDto) -> String {
    let is_active = |step: &&StepDto| {
        matches!(
            step.status,
            OpenEnum::Known(StepStatus::Running | StepStatus::Waiting | StepStatus::Compensating)
        )
    };
    let names = saga
        .steps
        .iter()
        .filter(is_active)
        .map(|step| step.name.as_str());
    names.collect::<Vec<_>>().join(" ")
}

/// From the start to the end, or to the last transition.
fn duration_of(saga: &SagaDto) -> String {
    let end = saga.finished_at.unwrap_or(saga.updated_at);
    format_duration(end.since(saga.started_at))
}

fn status_cell(status: &OpenEnum<Status>) -> Cell {
    match status {
        OpenEnum::Known(known) => {
            Cell::styled(&format!("{} {known}", known.icon()), status_style(*known))
        }
        OpenEnum::Unknown(text) => text.as_str().into(),
    }
}

fn step_status_cell(status: &OpenEnum<StepStatus>) -> Cell {
    match status {
        OpenEnum::Known(known) => {
            Cell::styled(&format!("{} {known}", known.icon()), step_style(*known))
        }
        OpenEnum::Unknown(text) => text.as_str().into(),
    }
}

/// A saga and its steps.
fn saga_card(saga: &SagaDto, color: Color) -> String {
    let started = timestamp(saga.started_at);
    let mut fields = vec![
        ("saga", saga.id.to_string()),
        ("status", card_status(saga, color)),
        ("workflow", format!("{}@{}", saga.workflow, saga.version)),
        ("key", escape_control(&saga.key)),
        (
            "started",
            format!("{started} UTC, took {}", duration_of(saga)),
        ),
    ];
    if let Some(cancel) = &saga.cancel {
        let text = format!("{} (by {})", cancel.reason, cancel.by);
        fields.push(("cancelled", escape_control(&text)));
    }
    if let Some(failure) = &saga.failure {
        let text = format!("{}, {}", failure.step, failure.error);
        fields.push(("failed", escape_control(&text)));
    }
    if let Some(waiting_for) = &saga.waiting_for {
        fields.push(("waits for", escape_control(waiting_for)));
    }

    let mut card = String::new();
    for (name, value) in fields {
        card += &format!("{} {value}\n", color.paint(DIM, &format!("{name:<10}")));
    }
    card + "\n" + &step_table(saga, color)
}

fn card_status(saga: &SagaDto, color: Color) -> String {
    let paused = if saga.paused { ", paused" } else { "" };
    match &saga.status {
        OpenEnum::Known(known) => color.paint(
            status_style(*known),
            &format!("{} {known}{paused}", known.icon()),
        ),
        OpenEnum::Unknown(text) => escape_control(text) + paused,
    }
}

fn step_table(saga: &SagaDto, color: Color) -> String {
    let row = |step: &StepDto| -> Vec<Cell> {
        let attempt = match step.attempt {
            0 => String::new(),
            attempt => attempt.to_string(),
        };
        let took = match (step.started_at, step.finished_at) {
            (Some(started_at), Some(finished_at)) => format_duration(finished_at.since(started_at)),
            _ => String::new(),
        };
        let error = step
            .error
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        vec![
            step.name.as_str().into(),
            step_status_cell(&step.status),
            step.worker.as_str().into(),
            attempt.into(),
            took.into(),
            error.into(),
        ]
    };
    let heading = ["STEP", "STATUS", "WORKER", "ATTEMPT", "TOOK", "ERROR"];
    table(&heading, saga.steps.iter().map(row).collect(), color)
}

/// A time in UTC, to the second.
fn timestamp(at: Time) -> String {
    at.to_datetime().format("%Y-%m-%d %H:%M:%S").to_string()
}
