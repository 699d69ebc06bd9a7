//! The layout of all pages, their headers, and the error page.

use super::assets;
use crate::http::problem::{HasBody, Problem};
use crate::http::state::AppState;
use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use uuid::Uuid;

/// No content from other sites, nothing inline, no embedding in frames.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The navigation: paths and titles.
const NAVIGATION: &[(&str, &str)] = &[("/", "Overview"), ("/ui/sagas", "Sagas"), ("/docs", "API")];

/// The parts that all pages have in common.
#[derive(Clone)]
pub(super) struct Layout {
    /// The current entry of the navigation.
    pub path: &'static str,
    /// The name of this replica.
    pub replica: String,
    /// The version of the assets.
    pub assets_version: &'static str,
    /// Whether the page refreshes itself.
    pub auto_refresh: bool,
}

impl Layout {
    /// The layout of a page that refreshes itself.
    pub fn live(app: &AppState, path: &'static str) -> Self {
        Self {
            auto_refresh: true,
            ..Self::fixed(&app.settings.replica, path)
        }
    }

    /// The layout of a page that does not change.
    pub fn fixed(replica: &str, path: &'static str) -> Self {
        Self {
            path,
            replica: replica.to_owned(),
            assets_version: &assets::VERSION,
            auto_refresh: false,
        }
    }

    pub fn navigation(&self) -> &'static [(&'static str, &'static str)] {
        NAVIGATION
    }
}

/// Renders a page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    let html = match template.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "failed to render a page");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };

    let mut response = (status, Html(html)).into_response();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        // Not `no-referrer`: the `Origin` of forms would be `null`.
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
    response.extensions_mut().insert(HasBody);
    response
}

/// A problem as a page.
pub(super) struct ErrorPage {
    layout: Layout,
    problem: Problem,
    back_path: String,
    back_text: &'static str,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemTemplate<'a> {
    layout: &'a Layout,
    title: &'static str,
    detail: &'a str,
    status: u16,
    back_path: &'a str,
    back_text: &'static str,
}

impl ErrorPage {
    /// A page with a link to the list.
    pub fn new(layout: Layout, problem: Problem) -> Self {
        Self {
            layout,
            problem,
            back_path: "/ui/sagas".to_owned(),
            back_text: "To the list",
        }
    }

    /// A page with a link to a saga.
    pub fn of_saga(layout: Layout, problem: Problem, saga_id: Uuid) -> Self {
        Self {
            back_path: format!("/ui/sagas/{saga_id}"),
            back_text: "Back to the saga",
            ..Self::new(layout, problem)
        }
    }
}

impl IntoResponse for ErrorPage {
    fn into_response(self) -> Response {
        let template = ProblemTemplate {
            layout: &self.layout,
            title: self.problem.kind().title(),
            detail: self.problem.detail(),
            status: self.problem.status().as_u16(),
            back_path: &self.back_path,
            back_text: self.back_text,
        };
        page(self.problem.status(), &template)
    }
}

/// Renders a page, or its error with a link to the list.
pub(super) fn page_or_error(app: &AppState, template: Result<impl Template, Problem>) -> Response {
    match template {
        Ok(template) => page(StatusCode::OK, &template),
        Err(problem) => {
            ErrorPage::new(Layout::fixed(&app.settings.replica, ""), problem).into_response()
        }
    }
}
