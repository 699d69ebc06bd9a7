//! `/ui/sagas`: the list.

use super::frame::{Frame, Refused, page};
use super::rows::List;
use crate::http::App;
use crate::http::query::Parameters;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

const ROWS: u32 = 50;

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    list: List,
}

pub(super) async fn list(State(app): State<App>, parameters: Parameters) -> Response {
    match List::read(&app, "/ui/sagas", &parameters, ROWS).await {
        Ok(list) => page(
            StatusCode::OK,
            &ListPage {
                frame: Frame::of(&app, "/ui/sagas"),
                list,
            },
        ),
        Err(problem) => Refused::new(&app, problem).into_response(),
    }
}

pub(super) async fn to_list() -> Redirect {
    Redirect::permanent("/ui/sagas")
}
