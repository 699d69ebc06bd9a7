//! `orchestrator check FILE…`: validates definitions and explores every run of them. Needs no server.

use super::exit::{Exit, Failure};
use super::output::print;
use clap::Args;
use saga_check::{Bound, Report, explore};
use saga_core::definition::Definition;
use saga_settings::parse;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Validate workflow definitions, and explore every run of them
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator check workflows/definitions/order.yaml
  orchestrator check --max-time 5m flows/*.yaml && echo all good")]
pub struct CheckFiles {
    /// The files: YAML or JSON
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Limit of the time to explore a file
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse::duration)]
    max_time: Duration,

    /// Limit of the states to explore of a file
    #[arg(long, value_name = "N", default_value_t = Bound::MAX_STATES as u64,
          value_parser = clap::value_parser!(u64).range(1..))]
    max_states: u64,
}

impl CheckFiles {
    /// Checks all files. The diagnostics of a definition go to stderr as `FILE:LINE:COL: rule: sentence`.
    ///
    /// # Errors
    /// If a file cannot be read (2), or a definition is invalid or has a counterexample (1).
    pub fn run(self) -> Result<Exit, Failure> {
        let mut exit = Exit::Ok;
        for file in &self.files {
            let name = file.display().to_string();
            let source = std::fs::read_to_string(file).map_err(|error| {
                Failure::new(Exit::Usage, format!("{name} cannot be read: {error}"))
            })?;
            match Definition::parse(&name, &source) {
                Ok(definition) => {
                    print(&summary(&name, &definition))?;
                    let (report, took) = self.explore(&definition);
                    print(&report_text(&report, took))?;
                    if report.violation.is_some() {
                        exit = Exit::Failed;
                    }
                }
                Err(diagnostics) => {
                    eprintln!("{}", diagnostics.to_string().trim_end());
                    exit = Exit::Failed;
                }
            }
        }
        Ok(exit)
    }

    fn explore(&self, definition: &Definition) -> (Report, Duration) {
        let started_at = Instant::now();
        let max_states = usize::try_from(self.max_states).unwrap_or(usize::MAX);
        let bound = Bound {
            max_states,
            ..Bound::of(definition)
        };
        let report = explore(definition, &bound, &mut || {
            started_at.elapsed() < self.max_time
        });
        (report, started_at.elapsed())
    }
}

fn summary(name: &str, definition: &Definition) -> String {
    let pivot = match definition.pivot() {
        Some(pivot) => format!("pivot {}", definition.steps[pivot].name),
        None => "no pivot".to_owned(),
    };
    let Definition {
        workflow,
        version,
        steps,
        ..
    } = definition;
    format!(
        "{name}: workflow {workflow} version {version}, {} steps, {pivot}: valid\n",
        steps.len()
    )
}

/// The figures in the first line, the bound in the next, then the counterexample if there is one.
fn report_text(report: &Report, took: Duration) -> String {
    let Report {
        states,
        depth,
        moves,
        bound,
        ..
    } = report;
    let verdict = report.verdict();
    let seconds = took.as_secs_f64();
    let mut text = format!(
        "states {states} depth {depth} moves {moves} in {seconds:.1} s {verdict}\nbound: {bound}\n"
    );
    if let Some(violation) = &report.violation {
        text += &format!("counterexample: {violation}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_check::Counterexample;

    #[test]
    fn counterexample_is_printed_line_by_line() {
        let source = "workflow: boat\nversion: 1\nsteps:\n  - name: row\n";
        let definition = Definition::parse("boat.yaml", source).unwrap();
        let report = explore(&definition, &Bound::of(&definition), &mut || true);
        let trace = vec![
            "the saga begins".to_owned(),
            "the deadline comes".to_owned(),
        ];
        let violation = Some(Counterexample {
            property: "row: I8: its effect happened twice".to_owned(),
            trace,
        });
        let text = report_text(
            &Report {
                violation,
                ..report
            },
            Duration::from_millis(1234),
        );
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].starts_with("states ") && lines[0].ends_with(" in 1.2 s broken"),
            "{text}"
        );
        assert!(lines[1].starts_with("bound: at most 2 attempts"), "{text}");
        assert_eq!(
            lines[2..],
            [
                "counterexample: row: I8: its effect happened twice",
                "   1. the saga begins",
                "   2. the deadline comes"
            ]
        );
    }
}
