//! The routes.

use super::state::{AppState, HttpDeps};
use super::{health, metrics, middleware, openapi, orders, pages, sagas, workers, workflows};
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware::from_fn;
use axum::routing::get;
use saga_core::definition::limits::MAX_FILE_BYTES;
use saga_protocol::message::MAX_INPUT_BYTES;
use utoipa_axum::router::OpenApiRouter;

/// The largest order: several times the size of one with 100 items.
pub const MAX_ORDER_BYTES: usize = 64 * 1024;
/// The largest body of a saga's routes: the largest input and the fields around it.
pub const MAX_SAGA_BYTES: usize = MAX_INPUT_BYTES + 16 * 1024;

/// The router of all routes.
pub fn router(deps: HttpDeps) -> Router {
    metrics::describe();
    let app = AppState::new(deps);

    let (routes, document) = json_routes().merge(plain_routes()).split_for_parts();
    let document = openapi::with_problems(&document);
    let docs = pages::Docs::new(&document, &app.settings.replica);
    let document = Bytes::from(document.to_string());
    let openapi = move || async move { ([(header::CONTENT_TYPE, "application/json")], document) };

    let routes = routes
        .merge(pages::routes(docs))
        .route("/openapi.json", get(openapi))
        .fallback(middleware::unknown_path)
        .method_not_allowed_fallback(middleware::method_not_allowed);
    middleware::with_layers(routes).with_state(app)
}

/// Routes that receive and send JSON.
fn json_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(orders::routes().layer(DefaultBodyLimit::max(MAX_ORDER_BYTES)))
        .merge(sagas::routes().layer(DefaultBodyLimit::max(MAX_SAGA_BYTES)))
        .merge(workflows::routes().layer(DefaultBodyLimit::max(MAX_FILE_BYTES)))
        .merge(workers::routes())
        .layer(from_fn(middleware::require_json_accepted))
}

/// Routes for probes and Prometheus, which ignore `Accept`.
fn plain_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .merge(health::routes())
        .merge(metrics::routes())
}
