//! The dashboard: server-rendered pages that work without JavaScript, each with a URL to share.

mod assets;
mod docs;
mod format;
mod forms;
mod layout;
mod list;
mod overview;
mod saga;
mod saga_actions;
mod saga_history;
mod saga_steps;
mod saga_table;

pub(super) use docs::Docs;

use super::state::AppState;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tower_http::csrf::CsrfLayer;

/// The largest form: one with the output of a step.
const MAX_FORM_BYTES: usize = 256 * 1024;

pub(super) fn routes(docs: Docs) -> Router<AppState> {
    // A page of another site could otherwise send a form with the rights of its reader.
    let csrf = CsrfLayer::new().with_rejection_response(forms::cross_site_response(&docs));
    let forms = Router::new()
        .route("/ui/sagas/{id}/{action}", post(forms::saga_form))
        .route(
            "/ui/sagas/{id}/steps/{step}/{action}",
            post(forms::step_form),
        )
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(csrf);

    Router::new()
        .route("/", get(overview::overview))
        .route("/ui", get(list::redirect_to_list))
        .route("/ui/sagas", get(list::list))
        .route("/ui/sagas/{id}", get(saga::saga))
        .route("/docs", get(docs::docs).with_state(docs))
        .route("/assets/{name}", get(assets::asset))
        .merge(forms)
}
