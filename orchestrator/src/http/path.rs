//! Path parameters. An invalid id identifies nothing, so the response is 404.

use super::problem::Problem;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use uuid::Uuid;

/// `{id}` of a path.
#[derive(Clone, Copy, Debug)]
pub struct SagaId(pub Uuid);

/// `{id}` and `{step}` of a path.
#[derive(Clone, Debug)]
pub struct StepPath {
    /// The saga.
    pub saga_id: Uuid,
    /// The step.
    pub step: String,
}

/// Parses a UUID in its hyphenated form, the only form that is accepted.
pub fn parse_id(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

impl<S: Send + Sync> FromRequestParts<S> for SagaId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = parameter(parts, "id").await?;

        parse_id(&text)
            .map(Self)
            .ok_or_else(|| Problem::not_found(format!("{text:?} is not a valid id, ids are UUIDs")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for StepPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let SagaId(saga_id) = SagaId::from_request_parts(parts, state).await?;
        let step = parameter(parts, "step").await?;

        Ok(Self { saga_id, step })
    }
}

async fn parameter(parts: &mut Parts, name: &str) -> Result<String, Problem> {
    // Fails if the path is not UTF-8.
    let parameters = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|_| Problem::not_found("the path does not exist"))?;
    let value = parameters.iter().find(|(parameter, _)| *parameter == name);

    value
        .map(|(_, value)| value.to_owned())
        .ok_or_else(|| Problem::not_found("the path does not exist"))
}
