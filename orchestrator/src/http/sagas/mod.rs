//! Sagas of all workflows: `/sagas`.

pub mod actions;
pub mod bodies;
pub mod history;
pub mod list;
mod show;
mod start;
mod steps;

use super::state::AppState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(start::start_saga, list::list_sagas))
        .routes(routes!(show::show_saga))
        .routes(routes!(history::saga_history))
        .routes(routes!(actions::cancel_saga))
        .routes(routes!(actions::retry_saga))
        .routes(routes!(actions::pause_saga))
        .routes(routes!(actions::resume_saga))
        .routes(routes!(steps::complete_step))
        .routes(routes!(steps::fail_step))
        .routes(routes!(steps::resolve_step))
}
