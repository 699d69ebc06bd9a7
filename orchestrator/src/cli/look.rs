//! What can be asked: `list`, `show`, `history`.

use super::client::{Client, Remote};
use super::exit::{Exit, Failure};
use super::output::{self, Form, print};
use super::paint::{Colour, Paint};
use super::table::{Cell, table};
use super::view::{self, EntryView, Page};
use clap::Args;
use saga_core::saga::Status;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::SystemTime;
use uuid::Uuid;

/// The server's most a page.
const PAGE_MOST: usize = 500;

/// List sagas, newest first
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator list --status parked
  orchestrator list --workflow order --step pay --since 10m
  orchestrator list --status running -o id | xargs -n 1 orchestrator pause")]
pub struct List {
    /// Only in that status; may be repeated
    #[arg(long, short = 's', value_name = "STATUS", value_parser = |text: &str| text.parse::<Status>())]
    status: Vec<Status>,

    /// Only of that workflow
    #[arg(long, short = 'w', value_name = "NAME")]
    workflow: Option<String>,

    /// Only with that step under way
    #[arg(long, value_name = "NAME")]
    step: Option<String>,

    /// Only with that business key
    #[arg(long, short = 'k', value_name = "TEXT")]
    key: Option<String>,

    /// Only where id, key or correlation id begin with that
    #[arg(long, short = 'q', value_name = "TEXT")]
    q: Option<String>,

    /// Only started since: a time (RFC 3339), or so long ago
    #[arg(long, value_name = "TIME|DURATION", value_parser = time)]
    since: Option<String>,

    /// Only started before: a time (RFC 3339), or so long ago
    #[arg(long, value_name = "TIME|DURATION", value_parser = time)]
    until: Option<String>,

    /// How many at the most
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "50",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    #[command(flatten)]
    remote: Remote,
}

impl List {
    /// Lists them.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn run(self) -> Result<Exit, Failure> {
        let mut query: Vec<(&str, String)> = self
            .status
            .iter()
            .map(|status| ("status", status.to_string()))
            .collect();
        let optional = [
            ("workflow", &self.workflow),
            ("step", &self.step),
            ("key", &self.key),
            ("q", &self.q),
            ("since", &self.since),
            ("until", &self.until),
        ];
        query.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.clone()?))),
        );
        let client = Client::new(&self.remote)?;
        let (sagas, next) = pages(&client, "/sagas", query, self.limit, |page| page.sagas).await?;
        print(&self.remote.output.sagas(&sagas, next.as_deref())?)?;
        if next.is_some() && self.remote.output.form == Form::Table {
            eprintln!("orchestrator: there are more; --limit shows them");
        }
        Ok(Exit::Ok)
    }
}

/// Show one saga and its steps
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
    /// Shows it.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn run(self) -> Result<Exit, Failure> {
        let answer = Client::new(&self.remote)?
            .get(&format!("/sagas/{}", self.id), &[])
            .await?;
        print(&self.remote.output.saga(&answer)?)?;
        Ok(Exit::Ok)
    }
}

/// Show every input of a saga, oldest first, and what it did
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator history 0193a5c2-…
  orchestrator history 0193a5c2-… -o jsonl")]
pub struct History {
    /// The saga
    id: Uuid,

    /// How many entries at the most
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "1000",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    /// With the saga and its definition, as `orchestrator replay` wants it: always JSON
    #[arg(long)]
    whole: bool,

    #[command(flatten)]
    remote: Remote,
}

/// What a replay needs beside the history.
#[derive(Serialize)]
struct Whole {
    saga: Box<RawValue>,
    definition: String,
    history: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Source {
    source: String,
}

impl History {
    /// Shows it.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = Client::new(&self.remote)?;
        let path = format!("/sagas/{}/history", self.id);
        // Before the history, which then has all that led to it.
        let saga = if self.whole {
            Some(client.get(&format!("/sagas/{}", self.id), &[]).await?)
        } else {
            None
        };
        let (entries, next) =
            pages(&client, &path, Vec::new(), self.limit, |page| page.history).await?;
        if let Some(saga) = saga {
            print(&whole(&client, &saga, entries, next).await?)?;
            return Ok(Exit::Ok);
        }
        let views = || {
            entries
                .iter()
                .map(|entry| view::read::<EntryView>(entry.get()))
                .collect::<Result<Vec<_>, _>>()
        };
        let form = &self.remote.output;
        print(&match form.form {
            Form::Json => output::list_json("history", &entries, next.as_deref()),
            Form::Jsonl => output::lines(entries.iter().map(|entry| entry.get().to_owned())),
            Form::Id => output::lines(views()?.iter().map(|entry| entry.revision.to_string())),
            Form::Table => entries_table(&views()?, form.paint()),
        })?;
        Ok(Exit::Ok)
    }
}

async fn whole(
    client: &Client,
    saga: &str,
    history: Vec<Box<RawValue>>,
    next: Option<String>,
) -> Result<String, Failure> {
    let of: view::SagaView = view::read(saga)?;
    let version = [("version", of.version.to_string())];
    let Source { source: definition } = view::read(
        &client
            .get(&format!("/workflows/{}", of.workflow), &version)
            .await?,
    )?;
    let whole = Whole {
        saga: view::read(saga)?,
        definition,
        history,
        next,
    };
    let text = serde_json::to_string(&whole)
        .map_err(|error| Failure::failed("the history has no JSON form", error))?;
    Ok(text + "\n")
}

/// Follows the cursor until there is no more, or enough.
async fn pages(
    client: &Client,
    path: &str,
    query: Vec<(&str, String)>,
    limit: u32,
    items: fn(Page) -> Vec<Box<RawValue>>,
) -> Result<(Vec<Box<RawValue>>, Option<String>), Failure> {
    let limit = limit as usize;
    let mut all: Vec<Box<RawValue>> = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let mut query = query.clone();
        query.push(("limit", (limit - all.len()).min(PAGE_MOST).to_string()));
        query.extend(next.take().map(|cursor| ("cursor", cursor)));
        let mut page: Page = view::read(&client.get(path, &query).await?)?;
        next = page.next.take();
        let before = all.len();
        all.extend(items(page));
        if next.is_none() || all.len() >= limit || all.len() == before {
            all.truncate(limit);
            return Ok((all, next));
        }
    }
}

fn entries_table(entries: &[EntryView], paint: Paint) -> String {
    let first = entries.first().map(|entry| entry.at.clone());
    let row = |entry: &EntryView| -> Vec<Cell> {
        let after = view::between(first.as_deref(), Some(&entry.at))
            .map(output::span)
            .unwrap_or_default();
        let what = match &entry.ignored {
            Some(reason) => Cell::coloured(format!("ignored: {reason}"), Colour::Dim),
            None => moves(entry).into(),
        };
        vec![
            entry.revision.to_string().into(),
            format!("+{after}").into(),
            input(&entry.input).into(),
            what,
            entry.by.as_deref().unwrap_or_default().into(),
        ]
    };
    table(
        &["REVISION", "AFTER", "INPUT", "DID", "BY"],
        entries.iter().map(row).collect(),
        paint,
    )
}

/// An input in a few words: its type, its step, how it went, and why.
pub fn input(input: &serde_json::Value) -> String {
    let text = |name: &str| {
        input
            .get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let attempt = input
        .get("attempt")
        .and_then(serde_json::Value::as_u64)
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
        .and_then(|error| serde_json::from_value::<view::ErrorView>(error.clone()).ok());
    match error {
        Some(error) => format!("{words}, {}", error.line()),
        None => words,
    }
}

fn moves(entry: &EntryView) -> String {
    let one = |moved: &view::MoveView| {
        format!("{} → {}", moved.step.as_deref().unwrap_or("saga"), moved.to)
    };
    entry
        .moved
        .iter()
        .flatten()
        .map(one)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A time as the server wants it: RFC 3339; a duration is so long ago.
fn time(text: &str) -> Result<String, String> {
    if chrono::DateTime::parse_from_rfc3339(text).is_ok() {
        return Ok(text.to_owned());
    }
    let wanted = "a time such as 2026-07-01T10:00:00Z is wanted, or a duration such as 10m (ago)";
    let ago = humantime::parse_duration(text).map_err(|_| wanted.to_owned())?;
    let at = SystemTime::now()
        .checked_sub(ago)
        .ok_or_else(|| wanted.to_owned())?;
    Ok(chrono::DateTime::<chrono::Utc>::from(at)
        .to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}
