//! Orders: the saga `order` as its customers see it.

mod cancel;
mod example;
mod input;
mod request;
mod show;
mod start;
mod status;

pub use example::curl_example;

use super::state::AppState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(start::place_order))
        .routes(routes!(show::show_order, cancel::delete_order))
        .routes(routes!(cancel::cancel_order))
}
