//! `orchestrator check FILE…`: whether definitions obey every rule. Needs no server.

use super::exit::{Exit, Failure};
use super::output::print;
use clap::Args;
use std::path::PathBuf;
use workflows::definition::Definition;

/// Check workflow definitions
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator check workflows/definitions/order.yaml
  orchestrator check flows/*.yaml && echo all good")]
pub struct CheckFiles {
    /// The files: YAML or JSON
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl CheckFiles {
    /// Checks them all; what is wrong goes to stderr as `FILE:LINE:COL: rule: sentence`.
    ///
    /// # Errors
    /// A file that cannot be read (2); mistakes in one (1).
    pub fn run(self) -> Result<Exit, Failure> {
        let mut exit = Exit::Ok;
        for file in &self.files {
            let name = file.display().to_string();
            let source = std::fs::read_to_string(file)
                .map_err(|error| Failure::new(Exit::Usage, format!("{name} cannot be read: {error}")))?;
            match Definition::parse(&name, &source) {
                Ok(definition) => print(&verdict(&name, &definition))?,
                Err(mistakes) => {
                    eprintln!("{}", mistakes.to_string().trim_end());
                    exit = Exit::Failed;
                }
            }
        }
        Ok(exit)
    }
}

fn verdict(name: &str, definition: &Definition) -> String {
    let pivot = match definition.pivot() {
        Some(pivot) => format!("pivot {}", definition.steps[pivot].name),
        None => "no pivot".to_owned(),
    };
    let Definition { workflow, version, steps, .. } = definition;
    format!("{name}: workflow {workflow} version {version}, {} steps, {pivot}: obeys every rule\n", steps.len())
}
