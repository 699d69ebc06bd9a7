//! Ids in a path. What is no id names nothing: 404.

use super::App;
use super::problem::Problem;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use uuid::Uuid;

/// `{id}` of a path.
#[derive(Clone, Copy, Debug)]
pub struct SagaId(pub Uuid);

/// `{id}` and `{step}` of a path.
#[derive(Clone, Debug)]
pub struct StepOf {
    /// The saga.
    pub saga: Uuid,
    /// The step.
    pub step: String,
}

/// A UUID with its four hyphens, and no other way of writing one.
pub fn parse(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

async fn parameter(parts: &mut Parts, name: &str) -> Result<String, Problem> {
    let all = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|_| Problem::not_found("no such path"))?;
    let found = all
        .iter()
        .find(|(given, _)| *given == name)
        .map(|(_, value)| value.to_owned());
    found.ok_or_else(|| Problem::not_found("no such path"))
}

impl FromRequestParts<App> for SagaId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let text = parameter(parts, "id").await?;
        parse(&text)
            .map(Self)
            .ok_or_else(|| Problem::not_found(format!("{text:?} is no id: ids are UUIDs")))
    }
}

impl FromRequestParts<App> for StepOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let SagaId(saga) = SagaId::from_request_parts(parts, app).await?;
        Ok(Self {
            saga,
            step: parameter(parts, "step").await?,
        })
    }
}
