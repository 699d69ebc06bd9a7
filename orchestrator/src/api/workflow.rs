//! Workflow definitions.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// All versions of all workflows.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = WorkflowList)]
pub struct WorkflowListDto {
    /// The versions, by name and version.
    pub workflows: Vec<WorkflowDto>,
}

/// A version of a workflow.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Workflow)]
pub struct WorkflowDto {
    /// The name.
    #[schema(example = "order")]
    pub workflow: String,
    /// The version.
    #[schema(example = 1)]
    pub version: u32,
    /// SHA-256 of the canonical form: equal for equal content.
    pub digest: String,
    /// Number of unfinished sagas on this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<u64>,
    /// Steps that no member can process: their worker has no members, or none of its members handles the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhandled: Option<Vec<UnhandledStepDto>>,
    /// The definition, with all defaults.
    #[schema(value_type = Object)]
    pub definition: Value,
    /// The source text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// All versions of this workflow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub versions: Vec<u32>,
}

/// A step that no member can process.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = UnhandledStep)]
pub struct UnhandledStepDto {
    /// The step.
    #[schema(example = "pay")]
    pub step: String,
    /// The worker of the step.
    #[schema(example = "pay")]
    pub worker: String,
    /// Members of that worker with a heartbeat in the last 10 s.
    #[schema(example = 0)]
    pub members: usize,
}

/// The result of checking a valid definition.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = WorkflowCheck)]
pub struct WorkflowCheckDto {
    /// False if an explored run violates an invariant.
    pub valid: bool,
    /// The name.
    #[schema(example = "order")]
    pub workflow: String,
    /// The version.
    #[schema(example = 1)]
    pub version: u32,
    /// SHA-256 of the canonical form.
    pub digest: String,
    /// Names of the steps.
    pub steps: Vec<String>,
    /// `complete`: all runs within the bound were explored; `bounded`: the time or memory limit ended the exploration;
    /// `broken`: a run violates an invariant.
    #[schema(example = "complete")]
    pub verdict: String,
    /// Number of distinct states.
    #[schema(example = 12389)]
    pub states: usize,
    /// Length of the longest shortest path to a state.
    #[schema(example = 17)]
    pub depth: usize,
    /// The faults and inputs that a run may contain.
    pub bound: String,
    /// The violated invariant, followed by the shortest run that violates it, one transition a line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub counterexample: Vec<String>,
}
