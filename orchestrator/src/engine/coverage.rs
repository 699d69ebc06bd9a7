//! Whether somebody can do each step: what the members of its worker say in their heartbeats that they serve. A version
//! whose step nobody serves is seen before its first saga waits for it.

use super::definitions::Definitions;
use super::heart::Beat;
use crate::bus::{Bus, WorkerBacklog};
use saga_core::definition::{Definition, Step};
use saga_protocol::message::WorkerHeartbeat;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often is looked: members are heard for five heartbeats, so none is missed for having just left.
const LOOK: Duration = Duration::from_secs(10);

/// A step that no member serves that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhandled {
    /// The step.
    pub step: String,
    /// Its worker.
    pub worker: String,
    /// How many members of that worker are there; none of them serves the step.
    pub members: usize,
}

/// The steps of a version that no member serves.
pub fn unhandled(definition: &Definition, workers: &[WorkerBacklog]) -> Vec<Unhandled> {
    let without = |step: &Step| {
        let worker = workers.iter().find(|worker| worker.worker == step.worker);
        let members = worker.map_or(&[][..], |worker| &worker.members);
        let served = members
            .iter()
            .any(|member| serves(member, &definition.workflow, &step.name));
        let (name, worker) = (step.name.clone(), step.worker.clone());
        (!served).then_some(Unhandled {
            step: name,
            worker,
            members: members.len(),
        })
    };
    definition.steps.iter().filter_map(without).collect()
}

/// A member that lists nothing does not say what it serves, and is not blamed.
fn serves(member: &WorkerHeartbeat, workflow: &str, step: &str) -> bool {
    let fits = |said: &str, name: &str| said == "*" || said == name;
    let said = &member.serves;
    said.is_empty()
        || said
            .iter()
            .any(|one| fits(&one.workflow, workflow) && fits(&one.step, step))
}

/// What was warned of already.
#[derive(Default)]
struct Warned(BTreeSet<(String, u32, String)>);

impl Warned {
    /// The sentences to be said now: once for each step, and again only if it was served in between. A worker of which
    /// no member is there is no reason to: it may be about to start.
    fn look(&mut self, definitions: &Definitions, workers: &[WorkerBacklog]) -> Vec<String> {
        let mut sentences = Vec::new();
        let mut now = BTreeSet::new();
        for known in definitions.all() {
            let Definition {
                workflow, version, ..
            } = &*known.definition;
            for Unhandled {
                step,
                worker,
                members,
            } in unhandled(&known.definition, workers)
            {
                let about = (workflow.clone(), *version, step.clone());
                if members > 0 && !self.0.contains(&about) {
                    sentences.push(format!(
                        "nobody serves step {step} of {workflow}@{version}: worker {worker} has {members} members, and \
                         none of them says that it can do it"
                    ));
                }
                if members > 0 || self.0.contains(&about) {
                    now.insert(about);
                }
            }
        }
        self.0 = now;
        sentences
    }
}

/// Says in the log which steps nobody serves, until it is to end.
pub async fn watch(
    definitions: Arc<Definitions>,
    bus: Arc<dyn Bus>,
    beat: Arc<Beat>,
    stop: CancellationToken,
) {
    let mut warned = Warned::default();
    while stop
        .run_until_cancelled(beat.wait(tokio::time::sleep(LOOK)))
        .await
        .is_some()
    {
        for sentence in warned.look(&definitions, &bus.workers()) {
            warn!("{sentence}");
        }
    }
    beat.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Db, Sqlite};
    use saga_protocol::Time;
    use saga_protocol::message::ServedStep;

    fn worker(name: &str, serves: &[&[(&str, &str)]]) -> WorkerBacklog {
        let said = |(workflow, step): &(&str, &str)| ServedStep {
            workflow: (*workflow).into(),
            step: (*step).into(),
        };
        let member = |serves: &&[(&str, &str)]| WorkerHeartbeat {
            worker: name.to_owned(),
            member: "m".to_owned(),
            at: Time::default(),
            in_flight: 0,
            limit: 1,
            build: "test".to_owned(),
            serves: serves.iter().map(said).collect(),
            breakers: Default::default(),
            read: None,
        };
        let members = serves.iter().map(member).collect();
        WorkerBacklog {
            worker: name.to_owned(),
            lag: 0,
            oldest_age_seconds: 0.0,
            members,
        }
    }

    #[tokio::test]
    async fn a_step_that_nobody_serves_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let db = Sqlite::open(folder.path().join("saga.db")).await.unwrap();
        db.migrate().await.unwrap();
        let definitions = Definitions::default();
        let flow = "workflow: flow\nversion: 3\nsteps:\n  - name: a\n  - name: b\n    worker: a\n  - name: c\n";
        definitions.put(&db, "flow.yaml", flow).await.unwrap();
        let mut warned = Warned::default();
        assert_eq!(
            warned.look(&definitions, &[]),
            Vec::<String>::new(),
            "nobody is there yet"
        );
        let old = [
            worker("a", &[&[("flow", "a")], &[("other", "b")]]),
            worker("c", &[&[]]),
        ];
        let sentences = warned.look(&definitions, &old);
        assert_eq!(sentences.len(), 1, "{sentences:?}");
        assert!(
            sentences[0].starts_with("nobody serves step b of flow@3: worker a has 2 members"),
            "{sentences:?}"
        );
        assert_eq!(
            warned.look(&definitions, &old),
            Vec::<String>::new(),
            "once"
        );
        assert_eq!(warned.look(&definitions, &[]), Vec::<String>::new());
        assert_eq!(
            warned.look(&definitions, &old),
            Vec::<String>::new(),
            "they only came back"
        );
        let new = [worker("a", &[&[("*", "*")]]), worker("c", &[&[]])];
        assert_eq!(warned.look(&definitions, &new), Vec::<String>::new());
        assert_eq!(
            warned.look(&definitions, &old).len(),
            1,
            "it was served in between"
        );
    }
}
