//! From the tree to drafts: each key on its own. What concerns several steps is `graph`'s.

use super::diagnostics::{Found, Place, Rule, quoted};
use super::fields::{self, Fields};
use super::schedules::{compensation, reminder, retry, timeout};
use super::schema::Schema;
use super::tree::Node;
use super::when::Condition;
use super::{CompensationPolicy, limits};
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

/// A definition whose parts were read. Where something could not be, it holds a default, and a diagnostic was noted.
pub(super) struct Draft {
    pub(super) workflow: String,
    pub(super) version: u32,
    pub(super) deadline: Duration,
    pub(super) input_schema: Option<Schema>,
    pub(super) sensitive: Vec<String>,
    /// The first [`limits::STEPS`] of them.
    pub(super) steps: Vec<DraftStep>,
    /// No step was left out: what concerns several steps can be checked.
    pub(super) whole: bool,
}

/// A step that was read.
pub(super) struct DraftStep {
    pub(super) at: Place,
    /// Empty if it could not be read.
    pub(super) name: String,
    pub(super) worker: String,
    pub(super) needs: Needs,
    pub(super) timeout: Duration,
    pub(super) reminder: Option<Duration>,
    pub(super) retry: RetryPolicy,
    /// Where `attempts` is written.
    pub(super) attempts_at: Option<Place>,
    pub(super) when: Option<Condition>,
    pub(super) output_schema: Option<Schema>,
    /// Where `pivot: true` is written.
    pub(super) pivot_at: Option<Place>,
    pub(super) compensation: DraftCompensation,
}

/// What a step says of its needs.
pub(super) enum Needs {
    /// Nothing: the step above.
    Above,
    /// These, each with its place.
    Written(Vec<(String, Place)>),
    /// It could not be read.
    Unreadable,
}

/// What a step says of its compensation.
pub(super) enum DraftCompensation {
    /// Nothing, or it could not be read.
    Unsaid(CompensationPolicy),
    /// `false`.
    Needless,
    /// `true`, or how.
    Wanted(CompensationPolicy, Place),
}

/// Reads the whole file.
pub(super) fn workflow(root: &Node, found: &mut Found) -> Option<Draft> {
    let fields = Fields::of(root, "a workflow", WORKFLOW_KEYS, found)?;
    let workflow = fields
        .require(
            "workflow",
            "the workflow",
            "its name, such as `workflow: order`",
            found,
        )
        .and_then(|node| fields::name(node, "`workflow`", found));
    let version = fields
        .require(
            "version",
            "the workflow",
            "its version, such as `version: 1`",
            found,
        )
        .and_then(|node| fields::whole(node, "`version`", 1..=limits::MAX_VERSION, found));
    let deadline = match fields.get("deadline") {
        None => Some(DEADLINE),
        Some(node) => fields::duration(node, "`deadline`", found),
    };
    let steps = fields
        .require(
            "steps",
            "the workflow",
            "a list of steps, such as `steps: [{name: pay}]`",
            found,
        )
        .and_then(|node| {
            fields::list(node, "`steps`", "it is a list of steps", found)
                .map(|list| (node.at, list))
        });
    let listed = steps.map_or(0, |(_, list)| list.len());
    let steps = match steps {
        None => Vec::new(),
        Some((at, list)) => self::steps(at, list, deadline, found),
    };
    let whole = listed == steps.len();
    let sensitive = match fields.get("sensitive") {
        None => Vec::new(),
        Some(node) => sensitive(node, &steps, whole, found),
    };
    Some(Draft {
        workflow: workflow.unwrap_or_default().to_owned(),
        version: version.unwrap_or_default(),
        deadline: deadline.unwrap_or(DEADLINE),
        input_schema: fields
            .get("input_schema")
            .and_then(|node| Schema::read(node, "`input_schema`", found)),
        sensitive,
        steps,
        whole,
    })
}

fn steps(
    at: Place,
    list: &[Node],
    deadline: Option<Duration>,
    found: &mut Found,
) -> Vec<DraftStep> {
    if list.is_empty() {
        found.add(at, Rule::NoSteps, || {
            "a workflow has at least one step, such as `- name: pay`".to_owned()
        });
    }
    if list.len() > limits::STEPS {
        found.add(at, Rule::TooManySteps, || {
            format!(
                "there are {} steps; a workflow has at most {}",
                list.len(),
                limits::STEPS
            )
        });
    }
    list.iter()
        .take(limits::STEPS)
        .map(|node| step(node, deadline, found))
        .collect()
}

fn step(node: &Node, deadline: Option<Duration>, found: &mut Found) -> DraftStep {
    // What is no map keeps its place in the list, so that "the step above" stays what it is.
    let fields = Fields::of(node, "a step", STEP_KEYS, found);
    let is_unreadable = fields.is_none();
    let fields = fields.unwrap_or_else(|| Fields::none(node.at));
    let name_node = match is_unreadable {
        true => None,
        false => fields.require("name", "a step", "its name, such as `name: pay`", found),
    };
    let name = name_node
        .and_then(|node| fields::name(node, "a step's `name`", found))
        .unwrap_or_default()
        .to_owned();
    let worker = match fields.get("worker") {
        None => name.clone(),
        Some(node) => fields::name(node, "`worker`", found)
            .unwrap_or_default()
            .to_owned(),
    };
    let (retry, attempts_at) = match fields.get("retry") {
        None => (RetryPolicy::STEP, None),
        Some(node) => retry(node, RetryPolicy::STEP, found),
    };
    let pivot_at = fields.get("pivot").and_then(|node| {
        let pivot = fields::flag(node, "`pivot`", found)?;
        pivot.then_some(node.at)
    });
    let needs = match fields.get("needs") {
        Some(node) => needs(node, found),
        None if is_unreadable => Needs::Unreadable,
        None => Needs::Above,
    };
    let timeout = timeout(fields.get("timeout"), deadline, found);
    DraftStep {
        at: name_node.map_or(fields.at, |node| node.at),
        name,
        worker,
        needs,
        timeout,
        reminder: fields
            .get("reminder")
            .and_then(|node| reminder(node, timeout, found)),
        retry,
        attempts_at,
        when: fields.get("when").and_then(|node| when(node, found)),
        output_schema: fields
            .get("output_schema")
            .and_then(|node| Schema::read(node, "`output_schema`", found)),
        pivot_at,
        compensation: compensation(fields.get("compensation"), deadline, found),
    }
}

fn needs(node: &Node, found: &mut Found) -> Needs {
    let right = "it is a list of steps; `[]` starts at once";
    let Some(list) = fields::list(node, "`needs`", right, found) else {
        return Needs::Unreadable;
    };
    let mut names = BTreeSet::new();
    let mut written = Vec::new();
    for item in list {
        let Some(name) = fields::name(item, "a need", found) else {
            return Needs::Unreadable;
        };
        if names.insert(name) {
            written.push((name.to_owned(), item.at));
        } else {
            found.add(item.at, Rule::DuplicateNeed, || {
                format!("`{name}` is already needed; name it once")
            });
        }
    }
    Needs::Written(written)
}

fn when(node: &Node, found: &mut Found) -> Option<Condition> {
    let text = fields::text(node, "`when`", found)?;
    match Condition::compile(text) {
        Ok(when) => Some(when),
        Err(unfit) => {
            found.add(node.at, unfit.rule(), || unfit.to_string());
            None
        }
    }
}

fn sensitive(node: &Node, steps: &[DraftStep], whole: bool, found: &mut Found) -> Vec<String> {
    let right = "it is a list of paths, such as `[input.payment.token]`";
    let Some(list) = fields::list(node, "`sensitive`", right, found) else {
        return Vec::new();
    };
    if list.len() > limits::MAX_SENSITIVE_PATHS {
        found.add(node.at, Rule::SensitivePath, || {
            format!(
                "there are {} paths; at most {} are kept",
                list.len(),
                limits::MAX_SENSITIVE_PATHS
            )
        });
        return Vec::new();
    }
    let is_step = |name: &str| {
        !whole
            || steps
                .iter()
                .any(|step| step.name.is_empty() || step.name == name)
    };
    let mut paths = BTreeSet::new();
    for item in list {
        let Some(path) = fields::text(item, "a sensitive path", found) else {
            continue;
        };
        match super::redact::check(path, is_step) {
            Ok(()) => {
                paths.insert(path.to_owned());
            }
            Err(why) => found.add(item.at, Rule::SensitivePath, || {
                format!("the path {} {why}", quoted(path))
            }),
        }
    }
    paths.into_iter().collect()
}
