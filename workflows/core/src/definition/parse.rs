//! From a file to a definition, or to all of its diagnostics.

use super::diagnostics::{DiagnosticSink, Diagnostics};
use super::draft::{Draft, DraftCompensation};
use super::{Definition, Position, Step, graph, read, tree};

impl Definition {
    /// Reads a definition from YAML (JSON is YAML). The name of the file is only for the diagnostics.
    ///
    /// # Errors
    /// All diagnostics at once. What is not one YAML document within the limits is one diagnostic.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Diagnostics> {
        let mut sink = DiagnosticSink::default();
        let definition = match tree::read(text) {
            Ok(root) => read::workflow(&root, &mut sink).map(|draft| finish(draft, &mut sink)),
            Err(diagnostic) => {
                sink.add(diagnostic.at, diagnostic.rule, || diagnostic.message);
                None
            }
        };
        sink.into_result(file_name)?;
        Ok(definition.expect("without a definition there is a diagnostic"))
    }
}

fn finish(draft: Draft, sink: &mut DiagnosticSink) -> Definition {
    let graph = graph::check(&draft.steps, draft.is_complete, sink);
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
                    DraftCompensation::Declared(compensation, _) => Some(compensation),
                    DraftCompensation::Default(default) if position != Position::Behind => {
                        Some(default)
                    }
                    DraftCompensation::Default(_) | DraftCompensation::NoCompensation => None,
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
