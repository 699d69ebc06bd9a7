//! Workflow definitions: `/workflows`.

mod check;
mod definitions;
mod source;

use super::state::AppState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(
            definitions::list_workflows,
            definitions::put_workflow
        ))
        .merge(check::routes())
        .routes(routes!(definitions::show_workflow))
}
