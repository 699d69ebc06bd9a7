//! The caller of a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;

/// The caller. Without authentication all callers are `anonymous`, whatever their headers claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: String,
}

impl Caller {
    /// The name, as recorded in the history.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            name: "anonymous".to_owned(),
        })
    }
}
