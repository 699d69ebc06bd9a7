//! The list of sagas with its filters, as several pages show it.

use super::words::{Moment, encode, icon, short, span};
use crate::db::ListFilter;
use crate::http::problem::Result;
use crate::http::query::Parameters;
use crate::http::sagas::filter_of;
use crate::http::{App, cursor, shown};
use saga_core::saga::{Saga, Status, StepStatus};
use saga_protocol::Time;

/// A list, its filters, and where it goes on.
pub(super) struct List {
    /// The page that shows it.
    pub action: &'static str,
    pub statuses: Vec<Choice>,
    pub workflows: Vec<Workflow>,
    pub key: String,
    pub q: String,
    pub chips: Vec<Chip>,
    pub rows: Vec<Row>,
    /// It is not the first page.
    pub further: bool,
    pub first: String,
    pub next: Option<String>,
    pub curl: String,
}

/// A status that can be chosen.
pub(super) struct Choice {
    pub word: &'static str,
    pub on: bool,
}

/// A workflow that can be chosen.
pub(super) struct Workflow {
    pub name: String,
    pub on: bool,
}

/// A filter in force, and the page without it.
pub(super) struct Chip {
    pub words: String,
    pub without: String,
}

/// A saga in the list.
pub(super) struct Row {
    pub id: String,
    pub status: &'static str,
    pub icon: &'static str,
    pub paused: bool,
    pub key: String,
    pub short_key: String,
    pub workflow: String,
    pub version: u32,
    pub step: String,
    pub done: usize,
    pub steps: usize,
    pub attempt: u32,
    pub started: Moment,
    pub duration: String,
    pub error: String,
}

impl Row {
    pub fn of(saga: &Saga, now: Time) -> Self {
        let current_direction: Vec<_> = saga
            .steps
            .iter()
            .filter(|step| moving(step.status) || step.needs_operator())
            .collect();
        let error = saga
            .steps
            .iter()
            .filter_map(|step| step.current_direction().1.error.as_ref())
            .next_back();
        let error = error.or_else(|| saga.failure().map(|(_, error)| error));
        let done = |status| {
            matches!(
                status,
                StepStatus::Completed | StepStatus::Skipped | StepStatus::Compensated
            )
        };
        Self {
            id: saga.id.to_string(),
            status: saga.status.as_str(),
            icon: icon(saga.status.as_str()),
            paused: saga.paused,
            short_key: short(&saga.key),
            key: saga.key.clone(),
            workflow: saga.workflow.clone(),
            version: saga.version,
            step: current_direction
                .iter()
                .map(|step| step.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            done: saga.steps.iter().filter(|step| done(step.status)).count(),
            steps: saga.steps.len(),
            attempt: current_direction
                .iter()
                .map(|step| step.current_direction().1.attempt)
                .max()
                .unwrap_or(0),
            started: Moment::of(saga.started_at, now),
            duration: span(saga.finished_at.unwrap_or(now).since(saga.started_at)),
            error: error
                .map(|error| format!("{}: {}", error.code, error.message))
                .unwrap_or_default(),
        }
    }
}

fn moving(status: StepStatus) -> bool {
    matches!(
        status,
        StepStatus::Running | StepStatus::Waiting | StepStatus::Compensating
    )
}

/// What the query of a page may hold.
const ONCE: &[&str] = &[
    "workflow", "step", "key", "q", "since", "until", "cursor", "limit",
];

impl List {
    /// Reads the list that the query asks for.
    ///
    /// # Errors
    /// 400 for what the query must not hold, and those of the database.
    pub async fn read(
        app: &App,
        action: &'static str,
        parameters: &Parameters,
        limit: u32,
    ) -> Result<Self> {
        parameters.only(ONCE, &["status"])?;
        let filter = ListFilter {
            limit,
            ..filter_of(parameters)?
        };
        let page = app.db.list(&filter).await?;
        let now = app.engine.now();
        let rows = page
            .states
            .iter()
            .map(|state| Ok(Row::of(&shown::parse(state)?, now)));
        let given = Given::of(parameters);
        Ok(Self {
            action,
            statuses: choices(&filter),
            workflows: workflows(app, &filter),
            chips: given.chips(action),
            rows: rows.collect::<Result<_>>()?,
            further: filter.before.is_some(),
            first: given.url(action, None, None),
            next: page
                .next
                .map(|id| given.url(action, None, Some(&cursor::write_saga(id)))),
            key: filter.key.unwrap_or_default(),
            q: filter.q.unwrap_or_default(),
            curl: curl(app),
        })
    }
}

fn choices(filter: &ListFilter) -> Vec<Choice> {
    let choice = |status: &Status| Choice {
        word: status.as_str(),
        on: filter.status.contains(status),
    };
    Status::ALL.iter().map(choice).collect()
}

fn workflows(app: &App, filter: &ListFilter) -> Vec<Workflow> {
    let mut names: Vec<_> = app
        .engine
        .definitions()
        .all()
        .iter()
        .map(|known| known.definition.workflow.clone())
        .collect();
    names.dedup();
    names
        .into_iter()
        .map(|name| Workflow {
            on: filter.workflow.as_ref() == Some(&name),
            name,
        })
        .collect()
}

/// A line that starts an order, to be pasted into a shell.
fn curl(app: &App) -> String {
    let who = r#""customer": "c-1", "store": "s-1", "fulfilment": "delivery","#;
    let items = r#""items": [{"menu": "big mac", "quantity": 2, "price": 550}],"#;
    let payment = r#""payment": {"method": "card", "token": "tok_visa"}"#;
    let at = &app.settings.address;
    format!(
        "curl -i http://{at}/orders -H 'content-type: application/json' \\\n  -H 'prefer: wait=10' -d \
         '{{{who}\n    {items}\n    {payment}}}'"
    )
}

/// The filters that the query holds, without where the page begins.
struct Given(Vec<(&'static str, String)>);

impl Given {
    fn of(parameters: &Parameters) -> Self {
        let names = ["status", "workflow", "step", "key", "q", "since", "until"];
        let all = names.into_iter().flat_map(|name| {
            parameters
                .texts(name)
                .map(move |text| (name, text.to_owned()))
        });
        Self(all.collect())
    }

    fn chips(&self, action: &str) -> Vec<Chip> {
        let chip = |(index, (name, text)): (usize, &(&str, String))| Chip {
            words: format!("{name}: {text}"),
            without: self.url(action, Some(index), None),
        };
        self.0.iter().enumerate().map(chip).collect()
    }

    fn url(&self, action: &str, without: Option<usize>, cursor: Option<&str>) -> String {
        let kept = self
            .0
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != without);
        let mut pairs: Vec<_> = kept
            .map(|(_, (name, text))| format!("{name}={}", encode(text)))
            .collect();
        pairs.extend(cursor.map(|cursor| format!("cursor={cursor}")));
        if pairs.is_empty() {
            action.to_owned()
        } else {
            format!("{action}?{}", pairs.join("&"))
        }
    }
}
