//! Reads drafts from the YAML tree, and checks each key by itself. `graph` checks the steps against each other.

use super::condition::Condition;
use super::diagnostics::{DiagnosticSink, Location, Rule, quoted};
use super::draft::{Draft, DraftStep, Needs};
use super::fields::{self, Fields};
use super::limits;
use super::schedules::{compensation, reminder, retry, timeout};
use super::schema::Schema;
use super::tree::Node;
use saga_protocol::retry::RetryPolicy;
use std::collections::BTreeSet;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(24 * 3600);

pub(super) const WORKFLOW_KEYS: &[&str] = &[
    "workflow",
    "version",
    "deadline",
    "input_schema",
    "sensitive",
    "steps",
];
pub(super) const STEP_KEYS: &[&str] = &[
    "name",
    "worker",
    "needs",
    "timeout",
    "reminder",
    "retry",
    "when",
    "pivot",
    "compensation",
    "output_schema",
];

/// Reads the whole file.
pub(super) fn workflow(root: &Node, sink: &mut DiagnosticSink) -> Option<Draft> {
    let fields = Fields::read(root, "a workflow", WORKFLOW_KEYS, sink)?;
    let workflow = fields
        .require(
            "workflow",
            "the workflow",
            "its name, such as `workflow: order`",
            sink,
        )
        .and_then(|node| fields::name(node, "`workflow`", sink));
    let version = fields
        .require(
            "version",
            "the workflow",
            "its version, such as `version: 1`",
            sink,
        )
        .and_then(|node| fields::integer(node, "`version`", 1..=limits::MAX_VERSION, sink));
    let deadline = match fields.get("deadline") {
        None => Some(DEADLINE),
        Some(node) => fields::duration(node, "`deadline`", sink),
    };
    let steps = fields
        .require(
            "steps",
            "the workflow",
            "a list of steps, such as `steps: [{name: pay}]`",
            sink,
        )
        .and_then(|node| {
            fields::list(node, "`steps`", "a list of steps", sink).map(|list| (node.at, list))
        });
    let listed = steps.map_or(0, |(_, list)| list.len());
    let steps = match steps {
        None => Vec::new(),
        Some((at, list)) => self::steps(at, list, deadline, sink),
    };
    let is_complete = listed == steps.len();
    let sensitive = match fields.get("sensitive") {
        None => Vec::new(),
        Some(node) => sensitive(node, &steps, is_complete, sink),
    };
    Some(Draft {
        workflow: workflow.unwrap_or_default().to_owned(),
        version: version.unwrap_or_default(),
        deadline: deadline.unwrap_or(DEADLINE),
        input_schema: fields
            .get("input_schema")
            .and_then(|node| Schema::read(node, "`input_schema`", sink)),
        sensitive,
        steps,
        is_complete,
    })
}

fn steps(
    at: Location,
    list: &[Node],
    deadline: Option<Duration>,
    sink: &mut DiagnosticSink,
) -> Vec<DraftStep> {
    if list.is_empty() {
        sink.add(at, Rule::NoSteps, || {
            "a workflow needs at least one step, such as `- name: pay`".to_owned()
        });
    }
    if list.len() > limits::MAX_STEPS {
        sink.add(at, Rule::TooManySteps, || {
            format!(
                "there are {} steps; the limit is {}",
                list.len(),
                limits::MAX_STEPS
            )
        });
    }
    list.iter()
        .take(limits::MAX_STEPS)
        .map(|node| step(node, deadline, sink))
        .collect()
}

fn step(node: &Node, deadline: Option<Duration>, sink: &mut DiagnosticSink) -> DraftStep {
    // An entry that is not a map keeps its index, so that "the step above" of the next step stays the same.
    let fields = Fields::read(node, "a step", STEP_KEYS, sink);
    let is_unreadable = fields.is_none();
    let fields = fields.unwrap_or_else(|| Fields::empty(node.at));
    let name_node = match is_unreadable {
        true => None,
        false => fields.require("name", "a step", "its name, such as `name: pay`", sink),
    };
    let name = name_node
        .and_then(|node| fields::name(node, "a step's `name`", sink))
        .unwrap_or_default()
        .to_owned();
    let worker = match fields.get("worker") {
        None => name.clone(),
        Some(node) => fields::name(node, "`worker`", sink)
            .unwrap_or_default()
            .to_owned(),
    };
    let (retry, attempts_at) = match fields.get("retry") {
        None => (RetryPolicy::STEP, None),
        Some(node) => retry(node, RetryPolicy::STEP, sink),
    };
    let pivot_at = fields.get("pivot").and_then(|node| {
        let pivot = fields::boolean(node, "`pivot`", sink)?;
        pivot.then_some(node.at)
    });
    let needs = match fields.get("needs") {
        Some(node) => needs(node, sink),
        None if is_unreadable => Needs::Unreadable,
        None => Needs::Above,
    };
    let timeout = timeout(fields.get("timeout"), deadline, sink);
    DraftStep {
        at: name_node.map_or(fields.at, |node| node.at),
        name,
        worker,
        needs,
        timeout,
        reminder: fields
            .get("reminder")
            .and_then(|node| reminder(node, timeout, sink)),
        retry,
        attempts_at,
        when: fields.get("when").and_then(|node| when(node, sink)),
        output_schema: fields
            .get("output_schema")
            .and_then(|node| Schema::read(node, "`output_schema`", sink)),
        pivot_at,
        compensation: compensation(fields.get("compensation"), deadline, sink),
    }
}

fn needs(node: &Node, sink: &mut DiagnosticSink) -> Needs {
    let expected = "a list of steps, or `[]` to start at once";
    let Some(list) = fields::list(node, "`needs`", expected, sink) else {
        return Needs::Unreadable;
    };
    let mut names = BTreeSet::new();
    let mut written = Vec::new();
    for item in list {
        let Some(name) = fields::name(item, "a need", sink) else {
            return Needs::Unreadable;
        };
        if names.insert(name) {
            written.push((name.to_owned(), item.at));
        } else {
            sink.add(item.at, Rule::DuplicateNeed, || {
                format!("`{name}` is listed twice; list it once")
            });
        }
    }
    Needs::Written(written)
}

fn when(node: &Node, sink: &mut DiagnosticSink) -> Option<Condition> {
    let text = fields::string(node, "`when`", sink)?;
    match Condition::compile(text) {
        Ok(when) => Some(when),
        Err(error) => {
            sink.add(node.at, error.rule(), || error.to_string());
            None
        }
    }
}

fn sensitive(
    node: &Node,
    steps: &[DraftStep],
    is_complete: bool,
    sink: &mut DiagnosticSink,
) -> Vec<String> {
    let expected = "a list of paths, such as `[input.payment.token]`";
    let Some(list) = fields::list(node, "`sensitive`", expected, sink) else {
        return Vec::new();
    };
    if list.len() > limits::MAX_SENSITIVE_PATHS {
        sink.add(node.at, Rule::SensitivePath, || {
            format!(
                "there are {} paths; the limit is {}",
                list.len(),
                limits::MAX_SENSITIVE_PATHS
            )
        });
        return Vec::new();
    }
    let is_step = |name: &str| {
        !is_complete
            || steps
                .iter()
                .any(|step| step.name.is_empty() || step.name == name)
    };
    let mut paths = BTreeSet::new();
    for item in list {
        let Some(path) = fields::string(item, "a sensitive path", sink) else {
            continue;
        };
        match super::redact::check(path, is_step) {
            Ok(()) => {
                paths.insert(path.to_owned());
            }
            Err(reason) => sink.add(item.at, Rule::SensitivePath, || {
                format!("the path {} {reason}", quoted(path))
            }),
        }
    }
    paths.into_iter().collect()
}
