//! From a file to a definition, or to all of its diagnostics.

use super::diagnostics::{Diagnostics, Found};
use super::read::{Draft, DraftCompensation};
use super::{Definition, Position, Step, graph, read, tree};

impl Definition {
    /// Reads a definition from YAML (JSON is YAML). The name of the file is only for the diagnostics.
    ///
    /// # Errors
    /// All diagnostics at once. What is not one YAML document within the limits is one diagnostic.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Diagnostics> {
        let mut found = Found::default();
        let definition = match tree::read(text) {
            Ok(root) => read::workflow(&root, &mut found).map(|draft| finish(draft, &mut found)),
            Err(diagnostic) => {
                found.add(diagnostic.at, diagnostic.rule, || diagnostic.sentence);
                None
            }
        };
        found.into_result(file_name)?;
        Ok(definition.expect("without a definition there is a diagnostic"))
    }
}

fn finish(draft: Draft, found: &mut Found) -> Definition {
    let graph = graph::check(&draft.steps, draft.whole, found);
    let edges = graph
        .needs
        .into_iter()
        .zip(graph.dependents)
        .zip(graph.positions);
    let steps =
        draft
            .steps
            .into_iter()
            .zip(edges)
            .map(|(step, ((needs, dependents), position))| Step {
                name: step.name,
                worker: step.worker,
                needs,
                dependents,
                timeout: step.timeout,
                reminder: step.reminder,
                retry: step.retry,
                when: step.when,
                output_schema: step.output_schema,
                position,
                compensation: match step.compensation {
                    DraftCompensation::Wanted(compensation, _) => Some(compensation),
                    DraftCompensation::Unsaid(default) if position != Position::Behind => {
                        Some(default)
                    }
                    DraftCompensation::Unsaid(_) | DraftCompensation::Needless => None,
                },
            });
    Definition {
        workflow: draft.workflow,
        version: draft.version,
        deadline: draft.deadline,
        input_schema: draft.input_schema,
        sensitive: draft.sensitive,
        steps: steps.collect(),
    }
}
