//! All routes, and the layers around them.

use super::{
    App, HttpState, around, health, metrics, openapi, orders, pages, sagas, workers, workflows,
};
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware::from_fn;
use axum::routing::get;
use saga_core::definition::limits::MAX_FILE_BYTES;
use saga_protocol::message::MAX_INPUT_BYTES;
use utoipa_axum::router::OpenApiRouter;

/// An order of 100 items fits several times.
pub const ORDER_BYTES: usize = 64 * 1024;
/// A saga's input, and what is around it.
pub const SAGA_BYTES: usize = MAX_INPUT_BYTES + 16 * 1024;

/// Everything that is served.
pub fn router(state: HttpState) -> Router {
    metrics::describe();
    let app = App::new(state);
    let (routes, document) = json_routes().merge(plain_routes()).split_for_parts();
    let document = openapi::finish(&document);
    let docs = pages::Docs::of(&document, &app.settings.replica);
    let document = Bytes::from(document.to_string());
    routes
        .merge(pages::routes(docs))
        .route(
            "/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, "application/json")], document) }),
        )
        .fallback(around::no_such_path)
        .method_not_allowed_fallback(around::no_such_method)
        .layer(from_fn(around::around))
        .with_state(app)
}

/// What is JSON in both directions.
fn json_routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(orders::routes().layer(DefaultBodyLimit::max(ORDER_BYTES)))
        .merge(sagas::routes().layer(DefaultBodyLimit::max(SAGA_BYTES)))
        .merge(workflows::routes().layer(DefaultBodyLimit::max(MAX_FILE_BYTES)))
        .merge(workers::routes())
        .layer(from_fn(around::accepts_json))
}

/// What probes and Prometheus read, whatever they accept.
fn plain_routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .merge(health::routes())
        .merge(metrics::routes())
}
