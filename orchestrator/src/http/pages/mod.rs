//! The dashboard: pages made here, read without JavaScript, each a URL to share.

mod assets;
mod counts;
mod docs;
mod forms;
mod frame;
mod list;
mod overview;
mod rows;
mod saga;
mod saga_actions;
mod saga_parts;
mod same_site;
mod words;

pub(super) use docs::Docs;

use super::App;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

/// A form holds an output at the most.
const FORM_BYTES: usize = 256 * 1024;

pub(super) fn routes(docs: Docs) -> Router<App> {
    Router::new()
        .route("/", get(overview::overview))
        .route("/ui", get(list::to_list))
        .route("/ui/sagas", get(list::list))
        .route("/ui/sagas/{id}", get(saga::saga))
        .route("/ui/sagas/{id}/{action}", post(forms::act))
        .route("/ui/sagas/{id}/steps/{step}/{action}", post(forms::settle))
        .route("/docs", get(docs::docs).with_state(docs))
        .route("/assets/{name}", get(assets::asset))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
}
