//! Who calls.

use super::App;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;

/// Who calls. Without authentication everyone is `anonymous`: no header is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: String,
}

impl Caller {
    /// The name that the history keeps.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self {
            name: "anonymous".to_owned(),
        })
    }
}
