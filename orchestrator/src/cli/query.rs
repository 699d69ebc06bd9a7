//! Read-only client commands: `list`, `show`, `history`.

use super::client::{Client, Remote, parse_response};
use super::color::{Color, DIM};
use super::exit::{Exit, Failure};
use super::output::{self, Form, print};
use super::table::{Cell, table};
use crate::api::{ErrorDto, HistoryEntryDto, SagaDto, format_duration};
use clap::Args;
use saga_core::saga::Status;
use saga_core::transition::StatusChange;
use saga_settings::{InvalidValue, parse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::time::SystemTime;
use uuid::Uuid;

/// Limit of a page of the server.
const MAX_PAGE: usize = 500;

/// List sagas, newest first
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator list --status parked
  orchestrator list --workflow order --step pay --since 10m
  orchestrator list --status running -o id | xargs -n 1 orchestrator pause")]
pub struct List {
    /// Only sagas of this status; may be repeated
    #[arg(long, short = 's', value_name = "STATUS", value_parser = |text: &str| text.parse::<Status>())]
    status: Vec<Status>,

    /// Only sagas of this workflow
    #[arg(long, short = 'w', value_name = "NAME")]
    workflow: Option<String>,

    /// Only sagas in which this step is active
    #[arg(long, value_name = "NAME")]
    step: Option<String>,

    /// Only the sagas with this business key
    #[arg(long, short = 'k', value_name = "TEXT")]
    key: Option<String>,

    /// Only sagas whose id, key or correlation id begins with this text
    #[arg(long, short = 'q', value_name = "TEXT")]
    q: Option<String>,

    /// Only sagas started since a time (RFC 3339), or a duration ago
    #[arg(long, value_name = "TIME|DURATION", value_parser = time)]
    since: Option<String>,

    /// Only sagas started before a time (RFC 3339), or a duration ago
    #[arg(long, value_name = "TIME|DURATION", value_parser = time)]
    until: Option<String>,

    /// Limit of the sagas
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "50",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    #[command(flatten)]
    remote: Remote,
}

impl List {
    /// Prints the sagas.
    ///
    /// # Errors
    /// If the server rejects the query or is unavailable.
    pub async fn run(self) -> Result<Exit, Failure> {
        let statuses = self
            .status
            .iter()
            .map(|status| ("status", status.to_string()));
        let mut query: Vec<(&str, String)> = statuses.collect();
        let filters = [
            ("workflow", &self.workflow),
            ("step", &self.step),
            ("key", &self.key),
            ("q", &self.q),
            ("since", &self.since),
            ("until", &self.until),
        ];
        query.extend(
            filters
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.clone()?))),
        );

        let client = Client::new(&self.remote)?;
        let (sagas, next) =
            fetch_pages(&client, "/sagas", query, self.limit, |page| page.sagas).await?;
        print(&self.remote.output.sagas(&sagas, next.as_deref())?)?;
        if next.is_some() && self.remote.output.form == Form::Table {
            eprintln!("orchestrator: there are more sagas; use --limit to show them");
        }
        Ok(Exit::Ok)
    }
}

/// Show a saga and its steps
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator show 0193a5c2-…
  orchestrator show 0193a5c2-… -o json | jq .steps")]
pub struct Show {
    /// The saga
    id: Uuid,

    #[command(flatten)]
    remote: Remote,
}

impl Show {
    /// Prints the saga.
    ///
    /// # Errors
    /// If there is no such saga or the server is unavailable.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = Client::new(&self.remote)?;
        let response = client.get(&format!("/sagas/{}", self.id), &[]).await?;
        print(&self.remote.output.saga(&response)?)?;
        Ok(Exit::Ok)
    }
}

/// Show every input of a saga and its result, oldest first
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator history 0193a5c2-…
  orchestrator history 0193a5c2-… -o jsonl")]
pub struct History {
    /// The saga
    id: Uuid,

    /// Limit of the entries
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "1000",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    /// Include the saga and its definition, as input of `orchestrator replay`; always JSON
    #[arg(long)]
    whole: bool,

    #[command(flatten)]
    remote: Remote,
}

/// What `orchestrator replay` needs.
#[derive(Serialize)]
struct WholeHistory {
    saga: Box<RawValue>,
    definition: String,
    history: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// `GET /workflows/{name}`, as far as it is used.
#[derive(Deserialize)]
struct WorkflowSource {
    source: String,
}

/// A page of sagas or of history entries.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    sagas: Vec<Box<RawValue>>,
    #[serde(default)]
    history: Vec<Box<RawValue>>,
    #[serde(default)]
    next: Option<String>,
}

impl History {
    /// Prints the history.
    ///
    /// # Errors
    /// If there is no such saga or the server is unavailable.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = Client::new(&self.remote)?;
        let path = format!("/sagas/{}/history", self.id);

        // The saga is fetched before its history, which then contains everything that led to it.
        let saga = match self.whole {
            true => Some(client.get(&format!("/sagas/{}", self.id), &[]).await?),
            false => None,
        };
        let (items, next) =
            fetch_pages(&client, &path, Vec::new(), self.limit, |page| page.history).await?;
        if let Some(saga) = saga {
            print(&whole_history(&client, &saga, items, next).await?)?;
            return Ok(Exit::Ok);
        }

        let entries = || {
            let entries = items
                .iter()
                .map(|item| parse_response::<HistoryEntryDto>(item.get()));
            entries.collect::<Result<Vec<_>, _>>()
        };
        let output = &self.remote.output;
        print(&match output.form {
            Form::Json => output::list_json("history", &items, next.as_deref()),
            Form::Jsonl => output::lines(items.iter().map(|item| item.get().to_owned())),
            Form::Id => output::lines(entries()?.iter().map(|entry| entry.revision.to_string())),
            Form::Table => history_table(&entries()?, output.color()),
        })?;
        Ok(Exit::Ok)
    }
}

async fn whole_history(
    client: &Client,
    saga: &str,
    history: Vec<Box<RawValue>>,
    next: Option<String>,
) -> Result<String, Failure> {
    let SagaDto {
        workflow, version, ..
    } = parse_response(saga)?;
    let query = [("version", version.to_string())];
    let response = client
        .get(&format!("/workflows/{workflow}"), &query)
        .await?;
    let WorkflowSource { source } = parse_response(&response)?;

    let whole = WholeHistory {
        saga: parse_response(saga)?,
        definition: source,
        history,
        next,
    };
    let json = serde_json::to_string(&whole)
        .map_err(|error| Failure::failed("failed to serialise the history", error))?;
    Ok(json + "\n")
}

/// Follows the cursor until the last page or the limit. Returns the cursor of the next page, if there is one.
async fn fetch_pages(
    client: &Client,
    path: &str,
    query: Vec<(&str, String)>,
    limit: u32,
    items_of: fn(Page) -> Vec<Box<RawValue>>,
) -> Result<(Vec<Box<RawValue>>, Option<String>), Failure> {
    let limit = limit as usize;
    let mut items: Vec<Box<RawValue>> = Vec::new();
    let mut next: Option<String> = None;

    loop {
        let mut query = query.clone();
        query.push(("limit", (limit - items.len()).min(MAX_PAGE).to_string()));
        query.extend(next.take().map(|cursor| ("cursor", cursor)));

        let mut page: Page = parse_response(&client.get(path, &query).await?)?;
        next = page.next.take();
        let page_items = items_of(page);

        // An empty page with a cursor would repeat for ever.
        let is_last = next.is_none() || page_items.is_empty();
        items.extend(page_items);
        if is_last || items.len() >= limit {
            items.truncate(limit);
            return Ok((items, next));
        }
    }
}

fn history_table(entries: &[HistoryEntryDto], color: Color) -> String {
    let Some(first) = entries.first() else {
        return table(&HISTORY_HEADING, Vec::new(), color);
    };

    let row = |entry: &HistoryEntryDto| -> Vec<Cell> {
        let after = format_duration(entry.at.since(first.at));
        let result = match &entry.ignored {
            Some(reason) => Cell::styled(&format!("ignored: {reason}"), DIM),
            None => changes(entry).into(),
        };
        vec![
            entry.revision.to_string().into(),
            format!("+{after}").into(),
            input_text(&entry.input).into(),
            result,
            entry.by.as_deref().unwrap_or_default().into(),
        ]
    };
    table(&HISTORY_HEADING, entries.iter().map(row).collect(), color)
}

const HISTORY_HEADING: [&str; 5] = ["REVISION", "AFTER", "INPUT", "RESULT", "BY"];

/// An input in one line: its type, step, outcome and reason.
fn input_text(input: &Value) -> String {
    let text = |name: &str| input[name].as_str().map(str::to_owned);
    let attempt = input["attempt"]
        .as_u64()
        .map(|attempt| format!("attempt {attempt}"));
    let words = [
        text("type"),
        text("step"),
        text("action"),
        attempt,
        text("outcome"),
        text("reason"),
        text("note"),
    ];
    let words = words.into_iter().flatten().collect::<Vec<_>>().join(" ");

    let error = input
        .get("error")
        .and_then(|error| ErrorDto::deserialize(error).ok());
    match error {
        Some(error) => format!("{words}, {error}"),
        None => words,
    }
}

fn changes(entry: &HistoryEntryDto) -> String {
    let text = |change: &StatusChange| {
        format!(
            "{} → {}",
            change.step.as_deref().unwrap_or("saga"),
            change.to
        )
    };
    entry
        .moved
        .iter()
        .flatten()
        .map(text)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A time as RFC 3339; a duration means that long ago.
fn time(text: &str) -> Result<String, InvalidValue> {
    if chrono::DateTime::parse_from_rfc3339(text).is_ok() {
        return Ok(text.to_owned());
    }

    let invalid = || {
        InvalidValue::expected("a time such as 2026-07-01T10:00:00Z, or a duration ago such as 10m")
    };
    let age = parse::duration(text).map_err(|_| invalid())?;
    let time = SystemTime::now().checked_sub(age).ok_or_else(invalid)?;
    Ok(chrono::DateTime::<chrono::Utc>::from(time)
        .to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}
