//! Reading a query: an unknown parameter, one given twice, or a value that is not taken is refused.

use super::App;
use super::problem::{Kind, Problem};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use saga_protocol::Time;
use std::str::FromStr;

/// The parameters of a query, in their order.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Refuses what is not among those names. Those of `many` may repeat.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn only(&self, once: &[&str], many: &[&str]) -> Result<(), Problem> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if many.contains(&name.as_str()) {
                continue;
            }
            if !once.contains(&name.as_str()) {
                let known: Vec<_> = once.iter().chain(many).copied().collect();
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                return Err(bad(
                    name,
                    &format!("is not known; the parameters are: {known}"),
                ));
            }
            if self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(bad(name, "was given more than once"));
            }
        }
        Ok(())
    }

    /// The text of a parameter; one that is given empty counts as missing.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(given, text)| given == name && !text.is_empty())
            .map(|(_, text)| text.as_str())
    }

    /// Every text of a parameter that may repeat.
    pub fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(given, text)| given == name && !text.is_empty())
            .map(|(_, text)| text.as_str())
    }

    /// A parameter as a number from `least` to `most`.
    ///
    /// # Errors
    /// 400 if it is none.
    pub fn number(&self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Problem> {
        self.parsed(
            name,
            &format!("must be a whole number from {least} to {most}"),
            |text| {
                text.parse()
                    .ok()
                    .filter(|number| (least..=most).contains(number))
            },
        )
    }

    /// A parameter as a moment.
    ///
    /// # Errors
    /// 400 if it is none.
    pub fn time(&self, name: &str) -> Result<Option<Time>, Problem> {
        self.parsed(
            name,
            "must be an RFC 3339 time such as 2026-01-31T12:00:00Z",
            |text| {
                chrono::DateTime::parse_from_rfc3339(text)
                    .ok()
                    .map(|at| Time::from(at.to_utc()))
            },
        )
    }

    /// A parameter that may repeat, each value of it parsed.
    ///
    /// # Errors
    /// 400 that says what is taken.
    pub fn each<T: FromStr<Err = String>>(&self, name: &str) -> Result<Vec<T>, Problem> {
        self.texts(name)
            .map(|text| text.parse().map_err(|error: String| bad(name, &error)))
            .collect()
    }

    /// A parameter as what `parse` makes of it.
    ///
    /// # Errors
    /// 400 if that is nothing.
    pub fn parsed<T>(
        &self,
        name: &str,
        must: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        self.text(name)
            .map(|text| parse(text).ok_or_else(|| bad(name, must)))
            .transpose()
    }

    /// Whether it is given, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }
}

fn bad(name: &str, what: &str) -> Problem {
    let name: String = name.chars().take(100).collect();
    Problem::new(Kind::InvalidQuery, format!("the parameter {name:?} {what}"))
}

impl FromRequestParts<App> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, app).await;
        query.map(|Query(all)| Self(all)).map_err(|error| {
            Problem::new(
                Kind::InvalidQuery,
                format!("the query cannot be read: {error}"),
            )
        })
    }
}
