//! `/docs`: the OpenAPI document as a page, and all problem types.

use super::format::pretty_json;
use super::layout::{Layout, page};
use crate::http::problem::ProblemKind;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use std::sync::Arc;

/// The tags, in the order of the page.
const TAGS: &[&str] = &["orders", "sagas", "workflows", "workers", "health"];

/// The page, created once.
#[derive(Clone)]
pub(in crate::http) struct Docs(Arc<DocsPage>);

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    layout: Layout,
    groups: Vec<Group>,
    problems: Vec<ProblemType>,
}

/// The operations with a tag.
struct Group {
    tag: String,
    operations: Vec<Operation>,
}

struct Operation {
    method: String,
    path: String,
    summary: String,
    parameters: Vec<Parameter>,
    body_example: Option<String>,
    responses: Vec<ResponseDoc>,
}

struct Parameter {
    name: String,
    location: String,
    description: String,
}

struct ResponseDoc {
    status: String,
    description: String,
}

struct ProblemType {
    status: u16,
    slug: &'static str,
    title: &'static str,
}

impl Docs {
    /// The page of an OpenAPI document.
    pub fn new(document: &Value, replica: &str) -> Self {
        let problems = ProblemKind::ALL.iter().map(|kind| ProblemType {
            status: kind.status().as_u16(),
            slug: kind.slug(),
            title: kind.title(),
        });

        Self(Arc::new(DocsPage {
            layout: Layout::fixed(replica, "/docs"),
            groups: groups(document),
            problems: problems.collect(),
        }))
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.0.layout
    }
}

pub(super) async fn docs(State(Docs(docs)): State<Docs>) -> Response {
    page(StatusCode::OK, &*docs)
}

fn groups(document: &Value) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let tag = text(&operation["tags"][0]);
            let operation = parse_operation(document, method, path, operation);
            match groups.iter_mut().find(|group| group.tag == tag) {
                Some(group) => group.operations.push(operation),
                None => groups.push(Group {
                    tag,
                    operations: vec![operation],
                }),
            }
        }
    }

    let position = |group: &Group| TAGS.iter().position(|tag| *tag == group.tag);
    groups.sort_by_key(|group| position(group).unwrap_or(TAGS.len()));
    groups
}

fn parse_operation(document: &Value, method: &str, path: &str, operation: &Value) -> Operation {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|parameter| Parameter {
        name: text(&parameter["name"]),
        location: text(&parameter["in"]),
        description: text(&parameter["description"]),
    });

    let responses = operation["responses"].as_object().into_iter().flatten();
    let responses =
        responses
            .filter(|(status, _)| *status != "default")
            .map(|(status, response)| ResponseDoc {
                status: status.clone(),
                description: text(&response["description"]),
            });

    let body_schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    Operation {
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]).replace('`', ""),
        parameters: parameters.collect(),
        body_example: example(document, body_schema),
        responses: responses.collect(),
    }
}

/// The example of the component that a schema refers to.
fn example(document: &Value, schema: &Value) -> Option<String> {
    let reference = schema["$ref"].as_str().or_else(|| {
        let variants = schema["oneOf"].as_array()?;
        variants.iter().find_map(|variant| variant["$ref"].as_str())
    })?;

    let name = reference.rsplit('/').next()?;
    let example = &document["components"]["schemas"][name]["example"];
    (!example.is_null()).then(|| pretty_json(example))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
