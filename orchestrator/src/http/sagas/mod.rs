//! Sagas of any workflow, as operators and programs see them.

mod actions;
mod history;
mod list;
mod show;
mod start;
mod steps;
mod view;

pub use actions::{REASON_CHARS_MOST, ReasonBody, cancel_saga, changed, submit};
pub use history::{HistoryEntryView, HistoryView, page as history_page};
pub use list::{ListView, filter_of};
pub use steps::{CompleteBody, FailBody, ResolveBody};
pub use view::{CancelView, CompensationView, ErrorView, SagaView, StepView};

use super::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(start::start, list::list))
        .routes(routes!(show::show))
        .routes(routes!(history::history))
        .routes(routes!(actions::cancel))
        .routes(routes!(actions::retry))
        .routes(routes!(actions::pause))
        .routes(routes!(actions::resume))
        .routes(routes!(steps::complete))
        .routes(routes!(steps::fail))
        .routes(routes!(steps::resolve))
}

/// Where a saga is found.
pub fn path(id: Uuid) -> String {
    format!("/sagas/{id}")
}
