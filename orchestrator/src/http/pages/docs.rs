//! `/docs`: the OpenAPI document as a page, and every kind of problem.

use super::assets;
use super::frame::{Frame, page};
use super::words::pretty_value;
use crate::http::problem::Kind;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use std::sync::Arc;

/// The groups, in the order in which a reader meets them.
const TAGS: &[&str] = &["orders", "sagas", "workflows", "workers", "health"];

/// The page, made once.
#[derive(Clone)]
pub(in crate::http) struct Docs(Arc<DocsPage>);

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    frame: Frame,
    groups: Vec<Group>,
    problems: Vec<ProblemKind>,
}

struct Group {
    tag: String,
    operations: Vec<Operation>,
}

struct Operation {
    method: String,
    path: String,
    summary: String,
    parameters: Vec<Parameter>,
    body: Option<String>,
    answers: Vec<Answer>,
}

struct Parameter {
    name: String,
    place: String,
    words: String,
}

struct Answer {
    status: String,
    words: String,
}

struct ProblemKind {
    status: u16,
    slug: &'static str,
    title: &'static str,
}

impl Docs {
    /// Reads the document.
    pub fn of(document: &Value, replica: &str) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (path, operations) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                let tag = text(&operation["tags"][0]);
                let read = read(document, method, path, operation);
                match groups.iter_mut().find(|group| group.tag == tag) {
                    Some(group) => group.operations.push(read),
                    None => groups.push(Group {
                        tag,
                        operations: vec![read],
                    }),
                }
            }
        }
        let place = |group: &Group| TAGS.iter().position(|tag| *tag == group.tag);
        groups.sort_by_key(|group| place(group).unwrap_or(TAGS.len()));
        let problems = Kind::ALL.iter().map(|kind| ProblemKind {
            status: kind.status().as_u16(),
            slug: kind.slug(),
            title: kind.title(),
        });
        let frame = Frame {
            here: "/docs",
            replica: replica.to_owned(),
            assets: &assets::VERSION,
            refresh: false,
        };
        Self(Arc::new(DocsPage {
            frame,
            groups,
            problems: problems.collect(),
        }))
    }
}

fn read(document: &Value, method: &str, path: &str, operation: &Value) -> Operation {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let parameters = list(&operation["parameters"])
        .into_iter()
        .map(|parameter| Parameter {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            words: text(&parameter["description"]),
        });
    let answers = operation["responses"].as_object().into_iter().flatten();
    let answers = answers
        .filter(|(status, _)| *status != "default")
        .map(|(status, answer)| Answer {
            status: status.clone(),
            words: text(&answer["description"]),
        });
    Operation {
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]).replace('`', ""),
        parameters: parameters.collect(),
        body: example(
            document,
            &operation["requestBody"]["content"]["application/json"]["schema"],
        ),
        answers: answers.collect(),
    }
}

/// The example of the schema that is referred to.
fn example(document: &Value, schema: &Value) -> Option<String> {
    let reference = schema["$ref"].as_str().or_else(|| {
        let choices = schema["oneOf"].as_array()?;
        choices.iter().find_map(|choice| choice["$ref"].as_str())
    })?;
    let name = reference.rsplit('/').next()?;
    let example = &document["components"]["schemas"][name]["example"];
    (!example.is_null()).then(|| pretty_value(example))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) async fn docs(State(Docs(docs)): State<Docs>) -> Response {
    page(StatusCode::OK, &*docs)
}
