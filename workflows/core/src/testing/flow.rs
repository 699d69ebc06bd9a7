//! Definitions in a line: `a; b:a when; c:a keep; d:b,c pivot; e`.
//!
//! A step is its name, the steps it needs behind a colon (without one: the step before it; `b:-`: none), and words:
//! `pivot`, `when` (a condition that reads `input.<name>`), `needless` (no compensation), `schema` (an output must be
//! an object), `timeout=1m`, `reminder=1m`, `final=busy` and `undo-final=busy` (a code that no further attempt
//! follows).

use crate::definition::Definition;
use std::fmt::Write as _;

/// The definition that the line stands for. Attempts: 2 each way, 1 s between them, no jitter.
///
/// # Panics
/// If the line is not such a definition.
pub fn flow(line: &str) -> Definition {
    let (line, deadline) = line.split_once(" | ").unwrap_or((line, "2h"));
    let mut yaml = format!("workflow: test\nversion: 1\ndeadline: {deadline}\nsteps:\n");
    let behind = line
        .split(';')
        .skip_while(|step| !step.contains(" pivot"))
        .skip(1)
        .map(str::trim)
        .collect::<Vec<_>>();
    for step in line.split(';').map(str::trim) {
        let mut words = step.split(' ');
        let name = words.next().unwrap_or_default();
        let (name, needs) = name
            .split_once(':')
            .map_or((name, None), |(name, needs)| (name, Some(needs)));
        let _ = writeln!(yaml, "  - name: {name}");
        if let Some(needs) = needs {
            let _ = writeln!(yaml, "    needs: [{}]", needs.trim_matches('-'));
        }
        let mut attempts = if behind.contains(&step) {
            ""
        } else {
            "attempts: 2, "
        };
        let (mut codes, mut undo_codes, mut needless) = ("", "", false);
        for word in words {
            match word.split_once('=') {
                None if word == "pivot" => yaml.push_str("    pivot: true\n"),
                None if word == "keep" => needless = true,
                None if word == "schema" => yaml.push_str("    output_schema: { type: object }\n"),
                None if word == "when" => {
                    let _ = writeln!(yaml, "    when: input.{name}");
                }
                Some(("final", code)) => codes = code,
                Some(("undo-final", code)) => undo_codes = code,
                Some((key @ ("timeout" | "reminder"), duration)) => {
                    let _ = writeln!(yaml, "    {key}: {duration}");
                }
                _ => panic!("{word:?} in {line:?}"),
            }
        }
        needless |= behind.contains(&step);
        if step.contains(" pivot") && needless {
            attempts = "";
        }
        let retry = |attempts, codes| {
            format!("{{ {attempts}first: 1s, jitter: 0, not_retryable: [{codes}] }}")
        };
        let _ = writeln!(yaml, "    retry: {}", retry(attempts, codes));
        let _ = match needless {
            true => writeln!(yaml, "    compensation: false"),
            false => {
                writeln!(
                    yaml,
                    "    compensation: {{ timeout: 30s, retry: {} }}",
                    retry("attempts: 2, ", undo_codes)
                )
            }
        };
    }
    Definition::parse("flow.yaml", &yaml)
        .unwrap_or_else(|diagnostics| panic!("{diagnostics:?}\n{yaml}"))
}
