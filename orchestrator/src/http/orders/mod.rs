//! Orders: the saga `order`, as an app sees it.

mod cancel;
mod new;
mod show;
mod start;
mod view;

pub use new::{Item, NewOrder, OrderInput, Payment};
pub use view::{OrderStatus, OrderView};

use super::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The workflow.
pub const WORKFLOW: &str = "order";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(start::start))
        .routes(routes!(show::show, cancel::delete))
        .routes(routes!(cancel::cancel))
}
