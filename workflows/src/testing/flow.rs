//! Definitions in a line: `a; b:a when; c:a needless; d:b,c pivot; e`.
//!
//! A step is its name, the steps it needs behind a colon (without one: the step before it; `b:-`: none), and words:
//! `pivot`, `when` (a condition that reads `input.<name>`), `needless` (no compensation), `attempts=2`, `timeout=1m`.

use crate::definition::Definition;
use std::fmt::Write as _;

/// The definition that the line stands for. Attempts: 2 each way, 1 s between them, no jitter.
///
/// # Panics
/// If the line is not such a definition.
pub fn flow(line: &str) -> Definition {
    let (line, deadline) = line.split_once(" | ").unwrap_or((line, "2h"));
    let mut yaml = format!("workflow: test\nversion: 1\ndeadline: {deadline}\nsteps:\n");
    let behind = line.split(';').skip_while(|step| !step.contains(" pivot")).skip(1).map(str::trim).collect::<Vec<_>>();
    for step in line.split(';').map(str::trim) {
        let mut words = step.split(' ');
        let name = words.next().unwrap_or_default();
        let (name, needs) = name.split_once(':').map_or((name, None), |(name, needs)| (name, Some(needs)));
        let _ = writeln!(yaml, "  - name: {name}");
        if let Some(needs) = needs {
            let _ = writeln!(yaml, "    needs: [{}]", needs.trim_matches('-'));
        }
        let mut attempts = if behind.contains(&step) { "" } else { "attempts: 2, " };
        let mut compensation = "{ timeout: 30s, retry: { attempts: 2, first: 1s, jitter: 0 } }";
        for word in words {
            match word.split_once('=') {
                None if word == "pivot" => yaml.push_str("    pivot: true\n"),
                None if word == "needless" => compensation = "false",
                None if word == "when" => {
                    let _ = writeln!(yaml, "    when: input.{name}");
                }
                Some(("timeout", timeout)) => {
                    let _ = writeln!(yaml, "    timeout: {timeout}");
                }
                _ => panic!("{word:?} in {line:?}"),
            }
        }
        if behind.contains(&step) {
            compensation = "false";
        } else if step.contains(" pivot") && compensation == "false" {
            attempts = "";
        }
        let _ = writeln!(yaml, "    retry: {{ {attempts}first: 1s, jitter: 0 }}\n    compensation: {compensation}");
    }
    Definition::parse("flow.yaml", &yaml).unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{yaml}"))
}
