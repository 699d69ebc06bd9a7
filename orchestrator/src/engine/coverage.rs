//! Whether every step of every workflow version has a member of its worker that handles it, by the members' heartbeats. A
//! version with an unhandled step is reported before its first saga waits for that step.

use super::definitions::Definitions;
use super::watchdog::Heartbeat;
use crate::bus::{Bus, WorkerBacklog};
use saga_core::definition::Definition;
use saga_protocol::message::WorkerHeartbeat;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A member counts for five heartbeats after its last one, so a check sees every member.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// A step that no current member handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnhandledStep {
    pub step: String,
    pub worker: String,
    /// The number of the worker's members; none of them handles the step.
    pub members: usize,
}

/// The steps of a version that no member handles.
pub fn unhandled_steps(definition: &Definition, workers: &[WorkerBacklog]) -> Vec<UnhandledStep> {
    let mut unhandled = Vec::new();
    for step in &definition.steps {
        let worker = workers.iter().find(|worker| worker.worker == step.worker);
        let members = worker.map_or(&[][..], |worker| &worker.members);
        let is_handled = members
            .iter()
            .any(|member| handles(member, &definition.workflow, &step.name));
        if !is_handled {
            unhandled.push(UnhandledStep {
                step: step.name.clone(),
                worker: step.worker.clone(),
                members: members.len(),
            });
        }
    }
    unhandled
}

/// Whether a member handles a step. One that lists no steps may handle any.
fn handles(member: &WorkerHeartbeat, workflow: &str, step: &str) -> bool {
    let matches = |pattern: &str, name: &str| pattern == "*" || pattern == name;
    member.serves.is_empty()
        || member
            .serves
            .iter()
            .any(|served| matches(&served.workflow, workflow) && matches(&served.step, step))
}

/// Logs unhandled steps.
pub struct CoverageMonitor {
    definitions: Arc<Definitions>,
    bus: Arc<dyn Bus>,
    /// The steps that were reported and have not been handled since.
    reported: BTreeSet<StepOfVersion>,
}

/// Workflow, version and step.
type StepOfVersion = (String, u32, String);

impl CoverageMonitor {
    pub fn new(definitions: Arc<Definitions>, bus: Arc<dyn Bus>) -> Self {
        Self {
            definitions,
            bus,
            reported: BTreeSet::new(),
        }
    }

    /// Runs until shutdown.
    pub async fn run(mut self, heartbeat: Arc<Heartbeat>, shutdown: CancellationToken) {
        while shutdown
            .run_until_cancelled(heartbeat.wait(tokio::time::sleep(CHECK_INTERVAL)))
            .await
            .is_some()
        {
            let workers = self.bus.workers();
            for ((workflow, version, step), worker, members) in
                newly_unhandled(&mut self.reported, &self.definitions, &workers)
            {
                warn!(
                    workflow,
                    version, step, worker, members, "no member of the worker handles the step"
                );
            }
        }
        heartbeat.finish();
    }
}

/// The unhandled steps that have not been reported yet, with their worker and its number of members. A step is reported
/// again only if it was handled in between. A worker without any member is not reported: it may be about to start.
fn newly_unhandled(
    reported: &mut BTreeSet<StepOfVersion>,
    definitions: &Definitions,
    workers: &[WorkerBacklog],
) -> Vec<(StepOfVersion, String, usize)> {
    let mut newly_unhandled = Vec::new();
    let mut still_reported = BTreeSet::new();
    for version in definitions.all() {
        let definition = &*version.definition;
        for unhandled in unhandled_steps(definition, workers) {
            let key = (
                definition.workflow.clone(),
                definition.version,
                unhandled.step,
            );
            let is_reported = reported.contains(&key);
            if unhandled.members > 0 && !is_reported {
                newly_unhandled.push((key.clone(), unhandled.worker, unhandled.members));
            }
            if unhandled.members > 0 || is_reported {
                still_reported.insert(key);
            }
        }
    }
    *reported = still_reported;
    newly_unhandled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{SchemaStore, Sqlite};
    use saga_protocol::Time;
    use saga_protocol::message::ServedStep;

    /// A worker with one member per element, which handles those (workflow, step) pairs.
    fn worker(name: &str, members: &[&[(&str, &str)]]) -> WorkerBacklog {
        let heartbeat = |steps: &&[(&str, &str)]| WorkerHeartbeat {
            worker: name.to_owned(),
            member: "m".to_owned(),
            at: Time::default(),
            in_flight: 0,
            limit: 1,
            build: "test".to_owned(),
            serves: steps
                .iter()
                .map(|(workflow, step)| ServedStep {
                    workflow: (*workflow).into(),
                    step: (*step).into(),
                })
                .collect(),
            breakers: Default::default(),
            read: None,
        };
        WorkerBacklog {
            worker: name.to_owned(),
            lag: 0,
            oldest_age_seconds: 0.0,
            members: members.iter().map(heartbeat).collect(),
        }
    }

    #[tokio::test]
    async fn unhandled_step_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let db = Sqlite::open(folder.path().join("saga.db")).await.unwrap();
        db.migrate().await.unwrap();
        let definitions = Definitions::default();
        let flow = "workflow: flow\nversion: 3\nsteps:\n  - name: a\n  - name: b\n    worker: a\n  - name: c\n";
        definitions.put(&db, "flow.yaml", flow).await.unwrap();
        let mut reported = BTreeSet::new();
        let mut check =
            |workers: &[WorkerBacklog]| newly_unhandled(&mut reported, &definitions, workers);
        let without_b = [
            worker("a", &[&[("flow", "a")], &[("other", "b")]]),
            worker("c", &[&[]]),
        ];
        let with_b = [worker("a", &[&[("*", "*")]]), worker("c", &[&[]])];

        assert_eq!(check(&[]), [], "no member has started yet");
        let step_b = ("flow".to_owned(), 3, "b".to_owned());
        let unhandled = (step_b, "a".to_owned(), 2);
        assert_eq!(check(&without_b), std::slice::from_ref(&unhandled));
        assert_eq!(check(&without_b), [], "already reported");
        assert_eq!(check(&[]), []);
        assert_eq!(check(&without_b), [], "the members only restarted");
        assert_eq!(check(&with_b), []);
        assert_eq!(check(&without_b), [unhandled], "it was handled in between");
    }
}
