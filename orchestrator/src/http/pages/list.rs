//! `/ui/sagas`: the list of sagas.

use super::layout::{Layout, page_or_error};
use super::saga_table::SagaTable;
use crate::http::problem::Result;
use crate::http::query::Parameters;
use crate::http::state::AppState;
use askama::Template;
use axum::extract::State;
use axum::response::{Redirect, Response};

const ROWS: u32 = 50;

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    layout: Layout,
    table: SagaTable,
}

pub(super) async fn list(State(app): State<AppState>, parameters: Parameters) -> Response {
    page_or_error(&app, read_page(&app, &parameters).await)
}

async fn read_page(app: &AppState, parameters: &Parameters) -> Result<ListPage> {
    Ok(ListPage {
        layout: Layout::live(app, "/ui/sagas"),
        table: SagaTable::read(app, "/ui/sagas", parameters, ROWS).await?,
    })
}

pub(super) async fn redirect_to_list() -> Redirect {
    Redirect::permanent("/ui/sagas")
}
