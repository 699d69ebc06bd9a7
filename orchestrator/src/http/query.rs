//! Query parameters. Unknown parameters, repeated parameters and invalid values are rejected.

use super::problem::{Problem, ProblemKind};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use saga_protocol::Time;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Names come from the caller; an error repeats this much of one.
const MAX_NAME_CHARS: usize = 100;

/// The parameters of a query, in their order.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Checks the names of all parameters. Those of `repeatable` may repeat.
    ///
    /// # Errors
    /// 400 for an unknown or repeated parameter.
    pub fn check_names(&self, single: &[&str], repeatable: &[&str]) -> Result<(), Problem> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if repeatable.contains(&name.as_str()) {
                continue;
            }

            if !single.contains(&name.as_str()) {
                let known: Vec<_> = single.iter().chain(repeatable).copied().collect();
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                let detail = format!("is unknown; known parameters: {known}");
                return Err(invalid(name, &detail));
            }
            if self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(invalid(name, "must not be repeated"));
            }
        }

        Ok(())
    }

    /// The value of a parameter. An empty value counts as missing.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(parameter, value)| parameter == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// All values of a repeatable parameter.
    pub fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(parameter, value)| parameter == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// An integer within a range.
    ///
    /// # Errors
    /// 400 for any other value.
    pub fn number(&self, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Problem> {
        let expected = format!(
            "must be an integer from {} to {}",
            range.start(),
            range.end()
        );

        self.parsed(name, &expected, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    /// A time.
    ///
    /// # Errors
    /// 400 for any other value.
    pub fn time(&self, name: &str) -> Result<Option<Time>, Problem> {
        let expected = "must be an RFC 3339 time such as 2026-01-31T12:00:00Z";

        self.parsed(name, expected, |text| {
            chrono::DateTime::parse_from_rfc3339(text)
                .ok()
                .map(|time| Time::from(time.to_utc()))
        })
    }

    /// All values of a repeatable parameter, parsed.
    ///
    /// # Errors
    /// 400 for a value that cannot be parsed.
    pub fn all_parsed<T: FromStr<Err = String>>(&self, name: &str) -> Result<Vec<T>, Problem> {
        self.texts(name)
            .map(|text| text.parse().map_err(|error: String| invalid(name, &error)))
            .collect()
    }

    /// A value parsed by `parse`. `expected` describes valid values.
    ///
    /// # Errors
    /// 400 if `parse` returns `None`.
    pub fn parsed<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        self.text(name)
            .map(|text| parse(text).ok_or_else(|| invalid(name, expected)))
            .transpose()
    }

    /// Whether a parameter is present, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(parameter, _)| parameter == name)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(error) => {
                let detail = format!("the query cannot be parsed: {error}");
                Err(Problem::new(ProblemKind::InvalidQuery, detail))
            }
        }
    }
}

fn invalid(name: &str, detail: &str) -> Problem {
    let name: String = name.chars().take(MAX_NAME_CHARS).collect();
    Problem::new(
        ProblemKind::InvalidQuery,
        format!("parameter {name:?} {detail}"),
    )
}
