//! The workflow versions that this replica knows: those of the database, each compiled once.

use crate::db::{DbError, DefinitionStore, PutOutcome, StoredDefinition};
use saga_core::definition::{Definition, Diagnostics};
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard};

/// Every known version of every workflow.
#[derive(Default)]
pub struct Definitions {
    versions: RwLock<BTreeMap<(String, u32), WorkflowVersion>>,
}

/// One version of a workflow.
#[derive(Clone)]
pub struct WorkflowVersion {
    pub definition: Arc<Definition>,
    /// The text as it was uploaded.
    pub source: Arc<str>,
    /// SHA-256 of the canonical form, in hex.
    pub digest: String,
}

/// Why a definition was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutDefinitionError {
    /// The definition is invalid: each line is `FILE:LINE:COL: rule: sentence`.
    #[error("{0}")]
    Diagnostics(Diagnostics),
    #[error(
        "workflow {workflow} version {version} is already stored with different content, use a higher version"
    )]
    Conflict { workflow: String, version: u32 },
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Definitions {
    pub fn get(&self, workflow: &str, version: u32) -> Option<WorkflowVersion> {
        self.read().get(&(workflow.to_owned(), version)).cloned()
    }

    /// The highest version.
    pub fn latest(&self, workflow: &str) -> Option<WorkflowVersion> {
        let first = (workflow.to_owned(), 0);
        let last = (workflow.to_owned(), u32::MAX);
        let versions = self.read();
        let (_, latest) = versions.range(first..=last).next_back()?;
        Some(latest.clone())
    }

    /// The given version, or else the highest. Reads the database if this replica does not know it: another one may just
    /// have stored it.
    ///
    /// # Errors
    /// Those of [`Definitions::refresh`].
    pub async fn get_or_refresh(
        &self,
        db: &dyn DefinitionStore,
        workflow: &str,
        version: Option<u32>,
    ) -> Result<Option<WorkflowVersion>, DbError> {
        let find = || match version {
            Some(version) => self.get(workflow, version),
            None => self.latest(workflow),
        };
        if let Some(known) = find() {
            return Ok(Some(known));
        }
        self.refresh(db).await?;
        Ok(find())
    }

    /// All versions, by name and version.
    pub fn all(&self) -> Vec<WorkflowVersion> {
        self.read().values().cloned().collect()
    }

    /// The names of all workers that a step of some version needs.
    pub fn workers(&self) -> Vec<String> {
        let versions = self.read();
        let mut workers: Vec<_> = versions
            .values()
            .flat_map(|version| &version.definition.steps)
            .map(|step| step.worker.clone())
            .collect();
        workers.sort();
        workers.dedup();
        workers
    }

    /// Reads the versions that the database has and this replica does not know yet.
    ///
    /// # Errors
    /// Those of the database; [`DbError::Corrupt`] if a stored definition does not parse.
    pub async fn refresh(&self, db: &dyn DefinitionStore) -> Result<(), DbError> {
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

    /// Parses and stores a definition. The flag is false if the same definition was already stored.
    ///
    /// # Errors
    /// [`PutDefinitionError`] says why it was not stored.
    pub async fn put(
        &self,
        db: &dyn DefinitionStore,
        file_name: &str,
        source: &str,
    ) -> Result<(WorkflowVersion, bool), PutDefinitionError> {
        let definition =
            Definition::parse(file_name, source).map_err(PutDefinitionError::Diagnostics)?;
        let stored = StoredDefinition {
            workflow: definition.workflow.clone(),
            version: definition.version,
            source: source.to_owned(),
            digest: definition.digest(),
        };

        let put = db.put_definition(&stored).await?;
        if put == PutOutcome::Conflict {
            return Err(PutDefinitionError::Conflict {
                workflow: stored.workflow,
                version: stored.version,
            });
        }
        Ok((self.insert(definition, stored), put == PutOutcome::Created))
    }

    fn insert(&self, definition: Definition, stored: StoredDefinition) -> WorkflowVersion {
        let version = WorkflowVersion {
            definition: Arc::new(definition),
            source: stored.source.into(),
            digest: stored.digest,
        };

        // A version never changes, so of two tasks that read it at the same time either may win.
        let mut versions = self.versions.write().expect("lock poisoned");
        versions
            .entry((stored.workflow, stored.version))
            .or_insert(version)
            .clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<(String, u32), WorkflowVersion>> {
        self.versions.read().expect("lock poisoned")
    }
}
