//! The forms in which data is printed: to stdout, and nothing else goes there.

use super::exit::Failure;
use super::paint::{self, Colour, Paint};
use super::table::{Cell, table, tamed};
use super::view::{SagaView, Word};
use clap::{Args, ValueEnum};
use serde_json::value::RawValue;
use std::io::Write;
use std::time::Duration;

/// How to print.
#[derive(Args, Clone, Debug)]
pub struct Output {
    /// table for people; json as the server said it; jsonl an item a line; id only ids
    #[arg(
        short = 'o',
        long = "output",
        value_name = "table|json|jsonl|id",
        default_value = "table"
    )]
    pub form: Form,

    /// No colours; NO_COLOR does the same
    #[arg(long)]
    pub no_color: bool,
}

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Columns, for people.
    Table,
    /// As the server said it.
    Json,
    /// An item a line.
    Jsonl,
    /// An id a line.
    Id,
}

/// Prints data. A reader that has gone (`| head`) is no failure.
///
/// # Errors
/// If stdout cannot be written for another reason.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed("stdout cannot be written", error))
        }
        _ => Ok(()),
    }
}

impl Output {
    /// Whether and how to colour.
    pub fn paint(&self) -> Paint {
        Paint::for_stdout(self.no_color)
    }

    /// One saga, as text.
    ///
    /// # Errors
    /// If the server's answer is no saga.
    pub fn saga(&self, answer: &str) -> Result<String, Failure> {
        let view = || super::view::read::<SagaView>(answer);
        Ok(match self.form {
            Form::Json | Form::Jsonl => format!("{}\n", answer.trim_end()),
            Form::Id => format!("{}\n", view()?.id),
            Form::Table => card(&view()?, self.paint()),
        })
    }

    /// Several sagas, as text.
    ///
    /// # Errors
    /// If one of them is no saga.
    pub fn sagas(&self, sagas: &[Box<RawValue>], next: Option<&str>) -> Result<String, Failure> {
        let views = || {
            sagas
                .iter()
                .map(|saga| super::view::read::<SagaView>(saga.get()))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(match self.form {
            Form::Json => list_json("sagas", sagas, next),
            Form::Jsonl => lines(sagas.iter().map(|saga| saga.get().to_owned())),
            Form::Id => lines(views()?.into_iter().map(|view| view.id)),
            Form::Table => rows(&views()?, self.paint()),
        })
    }
}

/// A line for each.
pub fn lines(items: impl Iterator<Item = String>) -> String {
    items.map(|item| item + "\n").collect()
}

/// A list as the server says one, its items untouched.
pub fn list_json(name: &str, items: &[Box<RawValue>], next: Option<&str>) -> String {
    let items: Vec<_> = items.iter().map(|item| item.get()).collect();
    let next = next.map_or_else(
        || "null".to_owned(),
        |next| serde_json::Value::from(next).to_string(),
    );
    format!("{{\"{name}\":[{}],\"next\":{next}}}\n", items.join(","))
}

fn rows(sagas: &[SagaView], paint: Paint) -> String {
    let row = |saga: &SagaView| -> Vec<Cell> {
        let (done, all) = saga.progress();
        vec![
            saga.id.as_str().into(),
            status(&saga.status),
            format!("{}@{}", saga.workflow, saga.version).into(),
            saga.key_unless_id().into(),
            saga.current().into(),
            format!("{done}/{all}").into(),
            moment(&saga.started_at).into(),
            saga.took().map(span).unwrap_or_default().into(),
            saga.error().unwrap_or_default().into(),
        ]
    };
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
    table(&heading, sagas.iter().map(row).collect(), paint)
}

fn status(word: &Word<saga_core::saga::Status>) -> Cell {
    match word.known() {
        Some(known) => {
            let (icon, colour) = paint::of_status(known);
            Cell::coloured(format!("{icon} {known}"), colour)
        }
        None => word.text().into(),
    }
}

/// Everything about one saga that a person wants at a glance.
fn card(saga: &SagaView, paint: Paint) -> String {
    let mut lines = vec![
        ("saga", saga.id.clone()),
        ("status", status_text(saga, paint)),
        ("workflow", format!("{}@{}", saga.workflow, saga.version)),
    ];
    let took = saga
        .took()
        .map(|took| format!(", took {}", span(took)))
        .unwrap_or_default();
    lines.push(("key", tamed(&saga.key)));
    lines.push(("started", format!("{} UTC{took}", moment(&saga.started_at))));
    if let Some(cancel) = &saga.cancel {
        lines.push((
            "cancelled",
            tamed(&format!("{} (by {})", cancel.reason, cancel.by)),
        ));
    }
    if let Some(failure) = &saga.failure {
        lines.push((
            "failed",
            tamed(&format!("{}, {}", failure.step, failure.error.line())),
        ));
    }
    if let Some(waiting_for) = &saga.waiting_for {
        lines.push(("waits for", tamed(waiting_for)));
    }
    let head = lines.iter().map(|(name, text)| {
        format!(
            "{} {text}\n",
            paint.paint(Colour::Dim, &format!("{name:<10}"))
        )
    });
    head.collect::<String>() + "\n" + &steps(saga, paint)
}

fn status_text(saga: &SagaView, paint: Paint) -> String {
    let paused = if saga.paused { ", paused" } else { "" };
    match saga.status.known() {
        Some(known) => {
            let (icon, colour) = paint::of_status(known);
            paint.paint(colour, &format!("{icon} {known}{paused}"))
        }
        None => tamed(saga.status.text()),
    }
}

fn steps(saga: &SagaView, paint: Paint) -> String {
    let row = |step: &super::view::StepView| -> Vec<Cell> {
        let status = match step.status.known() {
            Some(known) => {
                let (icon, colour) = paint::of_step(known);
                Cell::coloured(format!("{icon} {known}"), colour)
            }
            None => step.status.text().into(),
        };
        let took = super::view::between(step.started_at.as_deref(), step.finished_at.as_deref());
        let error = step
            .error
            .as_ref()
            .map(super::view::ErrorView::line)
            .unwrap_or_default();
        let attempt = if step.attempt > 0 {
            step.attempt.to_string()
        } else {
            String::new()
        };
        let took = took.map(span).unwrap_or_default();
        vec![
            step.name.as_str().into(),
            status,
            step.worker.as_str().into(),
            attempt.into(),
            took.into(),
            error.into(),
        ]
    };
    table(
        &["STEP", "STATUS", "WORKER", "ATTEMPT", "TOOK", "ERROR"],
        saga.steps.iter().map(row).collect(),
        paint,
    )
}

/// `2026-07-01T10:00:00.123456Z` as a person reads it: to the second.
pub fn moment(at: &str) -> String {
    tamed(&at.chars().take(19).collect::<String>().replace('T', " "))
}

/// A duration with three digits that matter.
pub fn span(took: Duration) -> String {
    match took.as_secs_f64() {
        below if below < 1.0 => format!("{:.0} ms", below * 1000.0),
        below if below < 60.0 => format!("{below:.2} s"),
        below if below < 3600.0 => format!("{:.0} m {:.0} s", (below / 60.0).floor(), below % 60.0),
        more => format!(
            "{:.0} h {:.0} m",
            (more / 3600.0).floor(),
            (more % 3600.0 / 60.0).floor()
        ),
    }
}
