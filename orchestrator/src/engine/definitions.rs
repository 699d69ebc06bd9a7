//! The workflow versions that this replica knows: all that are in the database, compiled once.

use crate::db::{Db, DbError, Put, StoredDefinition};
use saga_core::definition::Definition;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

/// Every version of every workflow, with its source text.
#[derive(Default)]
pub struct Definitions {
    known: RwLock<BTreeMap<(String, u32), Known>>,
}

/// One version of a workflow.
#[derive(Clone)]
pub struct Known {
    /// Parsed and validated.
    pub definition: Arc<Definition>,
    /// The text as it was given.
    pub source: Arc<str>,
    /// SHA-256 of the canonical form, in hex.
    pub digest: String,
}

/// Why a definition was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// It breaks rules: each line is `FILE:LINE:COL: rule: sentence`.
    #[error("{0}")]
    Diagnostics(saga_core::definition::Diagnostics),
    /// That version has other content.
    #[error(
        "workflow {workflow} version {version} is stored with other content; give the new one a higher version"
    )]
    Conflict {
        /// The name.
        workflow: String,
        /// The version.
        version: u32,
    },
    /// The database did not take it.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Definitions {
    /// One version.
    pub fn get(&self, workflow: &str, version: u32) -> Option<Known> {
        self.known().get(&(workflow.to_owned(), version)).cloned()
    }

    /// The highest version.
    pub fn latest(&self, workflow: &str) -> Option<Known> {
        let from = (workflow.to_owned(), 0);
        let to = (workflow.to_owned(), u32::MAX);
        self.known()
            .range(from..=to)
            .next_back()
            .map(|(_, known)| known.clone())
    }

    /// All of them, by name and version.
    pub fn all(&self) -> Vec<Known> {
        self.known().values().cloned().collect()
    }

    /// The names of all workers that some step of some version needs.
    pub fn workers(&self) -> Vec<String> {
        let mut workers: Vec<_> = self
            .known()
            .values()
            .flat_map(|known| {
                known
                    .definition
                    .steps
                    .iter()
                    .map(|step| step.worker.clone())
            })
            .collect();
        workers.sort();
        workers.dedup();
        workers
    }

    /// Reads what the database has and this replica does not know yet.
    ///
    /// # Errors
    /// Those of the database; [`DbError::Corrupt`] if a stored definition no longer parses.
    pub async fn refresh(&self, db: &dyn Db) -> Result<(), DbError> {
        for stored in db.definitions().await? {
            if self.get(&stored.workflow, stored.version).is_some() {
                continue;
            }
            let name = format!("{}@{}", stored.workflow, stored.version);
            let definition = Definition::parse(&name, &stored.source).map_err(|diagnostics| {
                DbError::Corrupt(format!("workflow {name}: {diagnostics}"))
            })?;
            self.insert(definition, stored);
        }
        Ok(())
    }

    /// Takes a definition in: parses it, stores it, and knows it from then on. `created` is false if it was there.
    ///
    /// # Errors
    /// [`PutError`] says which.
    pub async fn put(
        &self,
        db: &dyn Db,
        file_name: &str,
        source: &str,
    ) -> Result<(Known, bool), PutError> {
        let definition = Definition::parse(file_name, source).map_err(PutError::Diagnostics)?;
        let stored = StoredDefinition {
            workflow: definition.workflow.clone(),
            version: definition.version,
            source: source.to_owned(),
            digest: definition.digest(),
        };
        let put = db.put_definition(&stored).await?;
        if put == Put::Conflict {
            return Err(PutError::Conflict {
                workflow: stored.workflow,
                version: stored.version,
            });
        }
        Ok((self.insert(definition, stored), put == Put::Created))
    }

    fn insert(&self, definition: Definition, stored: StoredDefinition) -> Known {
        let known = Known {
            definition: Arc::new(definition),
            source: stored.source.into(),
            digest: stored.digest,
        };
        let mut all = self.known.write().expect("no holder of this lock panics");
        all.entry((stored.workflow, stored.version))
            .or_insert(known)
            .clone()
    }

    fn known(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<(String, u32), Known>> {
        self.known.read().expect("no holder of this lock panics")
    }
}
