//! A table of sagas with filters.

use super::format::{Timestamp, abbreviate, encode_query_value};
use crate::api::{ErrorDto, StatusIcon, format_duration};
use crate::db::ListFilter;
use crate::http::cursor;
use crate::http::orders::curl_example;
use crate::http::problem::Result;
use crate::http::query::Parameters;
use crate::http::read;
use crate::http::sagas::list::parse_filter;
use crate::http::state::AppState;
use saga_core::saga::{Saga, Status, Step, StepStatus};
use saga_protocol::Time;

/// The query parameters that are filters.
const FILTERS: &[&str] = &["status", "workflow", "step", "key", "q", "since", "until"];

/// A page of the table, its filters, and links to other pages.
pub(super) struct SagaTable {
    /// The path of the page that contains the table.
    pub path: &'static str,
    pub statuses: Vec<FilterOption<&'static str>>,
    pub workflows: Vec<FilterOption<String>>,
    pub key: String,
    pub q: String,
    pub active_filters: Vec<ActiveFilter>,
    pub rows: Vec<SagaRow>,
    pub is_first_page: bool,
    pub first_url: String,
    pub next_url: Option<String>,
    /// A command that starts an order, for an empty table.
    pub curl_example: String,
}

/// A value that a filter may have.
pub(super) struct FilterOption<T> {
    pub value: T,
    pub selected: bool,
}

/// A filter in use, and the URL of the page without it.
pub(super) struct ActiveFilter {
    pub text: String,
    pub url_without: String,
}

pub(super) struct SagaRow {
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
    pub started: Timestamp,
    pub duration: String,
    pub error: String,
}

impl SagaTable {
    /// Reads the page that the query selects.
    ///
    /// # Errors
    /// 400 for an invalid query, and the errors of the database.
    pub async fn read(
        app: &AppState,
        path: &'static str,
        parameters: &Parameters,
        limit: u32,
    ) -> Result<Self> {
        let filter = ListFilter {
            limit,
            ..parse_filter(parameters)?
        };
        let page = app.db.list(&filter).await?;

        let now = app.engine.now();
        let rows = page.states.iter().map(|state| {
            let saga = read::parse_saga(state)?;
            Ok(SagaRow::new(&saga, now))
        });
        let filters = Filters::new(path, parameters);

        Ok(Self {
            path,
            statuses: status_options(&filter),
            workflows: workflow_options(app, &filter),
            active_filters: filters.active(),
            rows: rows.collect::<Result<_>>()?,
            is_first_page: filter.before.is_none(),
            first_url: filters.url(None, None),
            next_url: page
                .next
                .map(|id| filters.url(None, Some(&cursor::encode_saga(id)))),
            key: filter.key.unwrap_or_default(),
            q: filter.q.unwrap_or_default(),
            curl_example: curl_example(&app.settings.address),
        })
    }
}

impl SagaRow {
    fn new(saga: &Saga, now: Time) -> Self {
        let active: Vec<&Step> = saga
            .steps
            .iter()
            .filter(|step| is_active(step.status) || step.needs_operator())
            .collect();
        let names: Vec<_> = active.iter().map(|step| step.name.as_str()).collect();
        let attempts = active.iter().map(|step| step.current_direction().1.attempt);

        // The last step's error; without any, the failure that started the rollback.
        let mut step_errors = saga
            .steps
            .iter()
            .filter_map(|step| step.current_direction().1.error.as_ref());
        let error = step_errors
            .next_back()
            .or_else(|| saga.failure().map(|(_, error)| error));

        Self {
            id: saga.id.to_string(),
            status: saga.status.as_str(),
            icon: saga.status.icon(),
            paused: saga.paused,
            short_key: abbreviate(&saga.key),
            key: saga.key.clone(),
            workflow: saga.workflow.clone(),
            version: saga.version,
            step: names.join(", "),
            done: saga
                .steps
                .iter()
                .filter(|step| is_done(step.status))
                .count(),
            steps: saga.steps.len(),
            attempt: attempts.max().unwrap_or(0),
            started: Timestamp::relative(saga.started_at, now),
            duration: format_duration(saga.finished_at.unwrap_or(now).since(saga.started_at)),
            error: error
                .map(|error| ErrorDto::from(error).to_string())
                .unwrap_or_default(),
        }
    }
}

fn is_active(status: StepStatus) -> bool {
    matches!(
        status,
        StepStatus::Running | StepStatus::Waiting | StepStatus::Compensating
    )
}

fn is_done(status: StepStatus) -> bool {
    matches!(
        status,
        StepStatus::Completed | StepStatus::Skipped | StepStatus::Compensated
    )
}

fn status_options(filter: &ListFilter) -> Vec<FilterOption<&'static str>> {
    let option = |status: &Status| FilterOption {
        value: status.as_str(),
        selected: filter.status.contains(status),
    };
    Status::ALL.iter().map(option).collect()
}

fn workflow_options(app: &AppState, filter: &ListFilter) -> Vec<FilterOption<String>> {
    let versions = app.engine.definitions().all();
    let mut names: Vec<_> = versions
        .iter()
        .map(|version| version.definition.workflow.clone())
        .collect();
    // The versions of a workflow are adjacent.
    names.dedup();

    names
        .into_iter()
        .map(|name| FilterOption {
            selected: filter.workflow.as_ref() == Some(&name),
            value: name,
        })
        .collect()
}

/// The filters of a query, without its page.
struct Filters {
    path: &'static str,
    values: Vec<(&'static str, String)>,
}

impl Filters {
    fn new(path: &'static str, parameters: &Parameters) -> Self {
        let values = FILTERS.iter().flat_map(|name| {
            parameters
                .texts(name)
                .map(|value| (*name, value.to_owned()))
        });

        Self {
            path,
            values: values.collect(),
        }
    }

    fn active(&self) -> Vec<ActiveFilter> {
        let filters = self
            .values
            .iter()
            .enumerate()
            .map(|(index, (name, value))| ActiveFilter {
                text: format!("{name}: {value}"),
                url_without: self.url(Some(index), None),
            });
        filters.collect()
    }

    /// The URL with these filters, without the one at an index, at a cursor.
    fn url(&self, without: Option<usize>, cursor: Option<&str>) -> String {
        let filters = self
            .values
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != without);
        let mut pairs: Vec<_> = filters
            .map(|(_, (name, value))| format!("{name}={}", encode_query_value(value)))
            .collect();
        pairs.extend(cursor.map(|cursor| format!("cursor={cursor}")));

        if pairs.is_empty() {
            self.path.to_owned()
        } else {
            format!("{}?{}", self.path, pairs.join("&"))
        }
    }
}
