//! `orchestrator replay FILE`: replays the downloaded history of a saga (rule I6). Needs no server.

use super::exit::{Exit, Failure};
use super::output::print;
use crate::api::SagaDto;
use clap::Args;
use saga_core::definition::{Definition, MASK};
use saga_core::replay::{HistoryEntry, replay};
use saga_core::saga::Saga;
use saga_core::transition::Input;
use saga_protocol::Payload;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};

/// Replay the history of a saga and report differences
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator history 0193a5c2-… --whole > history.json && orchestrator replay history.json
  curl …/sagas/0193a5c2-…/history?limit=500 > h.json && orchestrator replay h.json --definition order.yaml")]
pub struct Replay {
    /// Output of `history --whole`, or a response of GET /sagas/{id}/history
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Definition of the saga, unless the file contains it
    #[arg(long, value_name = "FILE")]
    definition: Option<PathBuf>,
}

/// A downloaded history.
#[derive(Deserialize)]
struct Download {
    history: Vec<Box<RawValue>>,
    /// There is more than the file has.
    next: Option<String>,
    /// The text of the saga's definition.
    definition: Option<String>,
    /// The saga as the server shows it.
    saga: Option<Value>,
}

impl Replay {
    /// Replays the history.
    ///
    /// # Errors
    /// If the file cannot be read (2), or the replay differs (1).
    pub fn run(self) -> Result<Exit, Failure> {
        let name = self.file.display().to_string();
        let unreadable = |what: String| Failure::new(Exit::Usage, format!("{name} {what}"));
        let file: Download = serde_json::from_str(&text(&self.file)?)
            .map_err(|error| unreadable(format!("is not the history of a saga: {error}")))?;
        let definition = self.definition(&file)?;
        let read = |(index, entry): (usize, &RawValue)| {
            let read = serde_json::from_str::<HistoryEntry>(entry.get());
            read.map_err(|error| unreadable(format!("has an invalid entry {index}: {error}")))
        };
        let entries = file
            .history
            .iter()
            .map(AsRef::as_ref)
            .enumerate()
            .map(read)
            .collect::<Result<Vec<_>, _>>()?;
        let hidden = file.history.iter().any(|entry| entry.get().contains(MASK));
        let differs = |what: String| {
            let conditions = hidden && definition.steps.iter().any(|step| step.when.is_some());
            let perhaps = if conditions {
                "; a condition may depend on masked values"
            } else {
                ""
            };
            Failure::new(Exit::Failed, format!("{name}: {what}{perhaps}"))
        };
        let end =
            replay(&definition, &entries).map_err(|difference| differs(difference.to_string()))?;
        if let Some(shown) = &file.saga {
            compare(&definition, &entries, shown).map_err(differs)?;
        }
        let Saga {
            id,
            workflow,
            version,
            status,
            revision,
            ..
        } = &end;
        let count = entries.len();
        let mut message = format!(
            "saga {id} of {workflow}@{version}: {count} inputs replayed without a difference; "
        );
        message += &format!("{status} at revision {revision}\n");
        if file.saga.is_none() {
            message += "not compared: the saga itself, which is not in the file (`history --whole` includes it)\n";
        }
        if hidden {
            message += &format!(
                "not compared: masked values ({})\n",
                definition.sensitive.join(", ")
            );
        }
        if file.next.is_some() {
            message += "not compared: later entries, which are not in the file (--limit)\n";
        }
        print(&message)?;
        Ok(Exit::Ok)
    }

    fn definition(&self, file: &Download) -> Result<Definition, Failure> {
        let (name, source) = match (&self.definition, &file.definition) {
            (Some(path), _) => (path.display().to_string(), text(path)?),
            (None, Some(source)) => ("its definition".to_owned(), source.clone()),
            (None, None) => {
                let message = "the file has no definition; give --definition FILE, or download with `history --whole`";
                return Err(Failure::new(Exit::Usage, message));
            }
        };
        let parsed = Definition::parse(&name, &source);
        parsed.map_err(|diagnostics| {
            Failure::new(Exit::Usage, diagnostics.to_string().trim_end().to_owned())
        })
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let unreadable = |error| {
        Failure::new(
            Exit::Usage,
            format!("{} cannot be read: {error}", path.display()),
        )
    };
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Compares the saga of the file with the replay at its revision.
fn compare(definition: &Definition, entries: &[HistoryEntry], shown: &Value) -> Result<(), String> {
    let revision = shown["revision"].as_u64().unwrap_or(0);
    let until = entries.partition_point(|entry| entry.revision <= revision);
    let saga =
        replay(definition, &entries[..until]).map_err(|difference| difference.to_string())?;
    let input = entries
        .first()
        .map_or_else(Payload::empty, |entry| match &entry.input {
            Input::Start(start) => start.input.clone(),
            _ => Payload::empty(),
        });
    let dto = SagaDto::new(definition, &saga, &input, saga.updated_at);
    let found = serde_json::to_value(dto).map_err(|error| error.to_string())?;
    match difference("saga", shown, &found) {
        None => Ok(()),
        Some((place, said, found)) => Err(format!(
            "revision {revision}: {place} is {said} in the file but {found} after the replay"
        )),
    }
}

/// The first difference of two values. `waiting_for` is left out, because it depends on the current time.
fn difference<'v>(
    place: &str,
    shown: &'v Value,
    found: &'v Value,
) -> Option<(String, &'v Value, &'v Value)> {
    match (shown, found) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one
                .keys()
                .chain(other.keys())
                .filter(|name| name.as_str() != "waiting_for");
            let mut differences =
                names.map(|name| (format!("{place}.{name}"), &shown[name], &found[name]));
            differences.find_map(|(place, shown, found)| difference(&place, shown, found))
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(index, (shown, found))| {
                difference(&format!("{place}[{index}]"), shown, found)
            })
        }
        _ => (shown != found).then(|| (place.to_owned(), shown, found)),
    }
}
