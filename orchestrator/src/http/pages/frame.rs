//! What is around every page, and how a page is sent.

use super::assets;
use crate::http::App;
use crate::http::problem::{Problem, Written};
use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

/// Nothing from elsewhere, nothing inline, no frame around it; forms go home.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The bar on top.
pub(super) struct Frame {
    /// The page's own place in the bar.
    pub here: &'static str,
    /// This replica.
    pub replica: String,
    /// The version of the assets.
    pub assets: &'static str,
    /// Whether the page reads itself anew.
    pub refresh: bool,
}

impl Frame {
    pub fn of(app: &App, here: &'static str) -> Self {
        Self {
            here,
            replica: app.settings.replica.clone(),
            assets: &assets::VERSION,
            refresh: true,
        }
    }

    /// One that stands still.
    pub fn still(app: &App, here: &'static str) -> Self {
        Self {
            refresh: false,
            ..Self::of(app, here)
        }
    }

    pub fn pages(&self) -> &'static [(&'static str, &'static str)] {
        &[("/", "Overview"), ("/ui/sagas", "Sagas"), ("/docs", "API")]
    }
}

/// Sends a page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    let html = match template.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = (status, Html(html)).into_response();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // `no-referrer` would make the Origin of our own forms `null`.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response.extensions_mut().insert(Written);
    response
}

/// A refusal as a page.
pub(super) struct Refused {
    frame: Frame,
    problem: Problem,
    back: String,
    back_words: &'static str,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: &'a Frame,
    title: &'static str,
    detail: &'a str,
    status: u16,
    back: &'a str,
    back_words: &'static str,
}

impl Refused {
    /// With a way back to the list.
    pub fn new(app: &App, problem: Problem) -> Self {
        Self {
            frame: Frame::still(app, ""),
            problem,
            back: "/ui/sagas".to_owned(),
            back_words: "To the list",
        }
    }

    /// With a way back to a saga.
    pub fn of_saga(app: &App, problem: Problem, id: uuid::Uuid) -> Self {
        Self {
            back: format!("/ui/sagas/{id}"),
            back_words: "Back to the saga",
            ..Self::new(app, problem)
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let template = ProblemPage {
            frame: &self.frame,
            title: self.problem.kind().title(),
            detail: self.problem.detail(),
            status: self.problem.status().as_u16(),
            back: &self.back,
            back_words: self.back_words,
        };
        page(self.problem.status(), &template)
    }
}
