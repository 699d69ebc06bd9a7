//! The documents: every test, path and command that they name exists, and every rule has a proof.

use crate::assert_none;
use crate::tree::{files, read, root, rust_files};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The rules and invariants, by letter, with their number.
const RULES: [(&str, usize); 5] = [("A", 4), ("B", 7), ("C", 8), ("D", 6), ("I", 12)];

/// The documents of the project.
fn documents() -> Vec<(String, String)> {
    let documents = files().into_iter().filter(|path| path.ends_with(".md"));
    documents
        .filter_map(|path| read(&path).map(|text| (path, text)))
        .collect()
}

/// The texts between backticks, without fenced blocks.
fn code_spans(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose
        .flat_map(|part| part.split('`').skip(1).step_by(2))
        .collect()
}

/// Whether a word is the name of a rule's test, such as `b3_command_names_its_revision`.
fn is_rule_test(word: &str) -> bool {
    let Some((rule, rest)) = word.split_once('_') else {
        return false;
    };
    let (letter, number) = rule.split_at(rule.len().min(1));
    let numbered = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    numbered
        && "abcdi".contains(letter)
        && rest
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The sections of a document: each begins behind the hashes of its heading.
fn sections(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n#")
        .map(|section| section.trim_start_matches(['#', ' ']))
}

/// The names after `Proved by` in a section.
fn proofs(section: &str) -> BTreeSet<&str> {
    let list = section.split_once("Proved by").map_or("", |(_, list)| list);
    code_spans(list)
        .into_iter()
        .filter(|name| !name.contains(['/', '.', ' ']))
        .collect()
}

/// The names of all functions, macro-generated tests included.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in rust_files() {
        for part in text.split("fn ").skip(1) {
            let name: String = part
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            names.insert(name);
        }
    }
    names
}

#[test]
fn tests_named_in_documents_exist() {
    let functions = functions();
    let mut named = 0;
    let mut missing = Vec::new();
    for (path, text) in documents() {
        let mut names: BTreeSet<&str> = code_spans(&text)
            .into_iter()
            .filter(|word| is_rule_test(word))
            .collect();
        names.extend(sections(&text).flat_map(proofs));
        named += names.len();
        missing.extend(
            names
                .into_iter()
                .filter(|name| !functions.contains(*name))
                .map(|name| format!("{path}: {name}")),
        );
    }
    assert_none("tests that do not exist", missing);
    assert!(
        named > 60,
        "the documents name the tests that prove the rules: {named}"
    );
}

#[test]
fn rules_are_proved_or_listed_as_open() {
    let documents = documents();
    let all: Vec<&str> = documents
        .iter()
        .flat_map(|(_, text)| sections(text))
        .collect();
    let limits = read("docs/limits.md").expect("docs/limits.md exists");
    let (_, open) = limits
        .split_once("## Not proved yet")
        .expect("docs/limits.md lists what is not proved yet");

    let mut missing = Vec::new();
    for (letter, count) in RULES {
        for rule in (1..=count).map(|number| format!("{letter}{number}")) {
            let section = all
                .iter()
                .find(|section| section.starts_with(&format!("{rule}. ")));
            let proved = section.is_some_and(|section| !proofs(section).is_empty());
            let listed = open.contains(&format!("**{rule}**"));
            if section.is_none() || !proved && !listed {
                missing.push(rule);
            }
        }
    }
    assert_none(
        "rules that are neither proved nor listed under \"Not proved yet\"",
        missing,
    );
}

/// Whether a word is a path of the tree.
fn is_path(word: &str) -> bool {
    let folders = [
        "workflows/",
        "orchestrator/",
        "workers/",
        "tests/",
        "migrations/",
        "docs/",
        ".ci/",
        ".github/",
        "k8s/",
    ];
    folders.iter().any(|folder| word.starts_with(folder))
        && !word.contains([' ', '*', '<', '{', '…', '$'])
}

#[test]
fn paths_named_in_documents_exist() {
    let mut missing = Vec::new();
    for (document, text) in documents() {
        // A path may be followed by a line number or an item.
        let paths = code_spans(&text).into_iter().filter(|word| is_path(word));
        let paths = paths.map(|word| word.split(':').next().unwrap_or(word));
        missing.extend(
            paths
                .filter(|path| !root().join(path).exists())
                .map(|path| format!("{document}: {path}")),
        );
    }
    assert_none("paths that do not exist", missing);
}

#[test]
fn links_between_documents_resolve() {
    let mut missing = Vec::new();
    for (document, text) in documents() {
        let folder = PathBuf::from(&document)
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default();
        let prose: String = text.split("```").step_by(2).collect();
        for target in prose
            .split("](")
            .skip(1)
            .filter_map(|part| part.split(')').next())
        {
            let file = target.split('#').next().unwrap_or_default();
            let external =
                target.contains("://") || target.starts_with("mailto:") || file.is_empty();
            if !external && !root().join(&folder).join(file).exists() {
                missing.push(format!("{document}: {target}"));
            }
        }
    }
    assert_none("links that lead nowhere", missing);
}

/// A fenced block of shell commands, with the comment line in front of it.
struct CommandBlock {
    place: String,
    marker: String,
    commands: String,
}

fn command_blocks() -> Vec<CommandBlock> {
    let mut blocks = Vec::new();
    for (document, text) in documents() {
        let lines: Vec<&str> = text.lines().collect();
        let mut index = 0;
        while index < lines.len() {
            let fence = lines[index].trim_start();
            if !fence.starts_with("```") {
                index += 1;
                continue;
            }
            let begin = index;
            index += 1;
            while index < lines.len() && !lines[index].trim_start().starts_with("```") {
                index += 1;
            }
            if matches!(fence, "```sh" | "```bash") {
                let before = lines[..begin]
                    .iter()
                    .rev()
                    .find(|line| !line.trim().is_empty());
                blocks.push(CommandBlock {
                    place: format!("{document}:{}", begin + 1),
                    marker: before
                        .map(|line| line.trim().to_owned())
                        .unwrap_or_default(),
                    commands: lines[begin + 1..index].join("\n"),
                });
            }
            index += 1;
        }
    }
    blocks
}

#[test]
fn commands_in_documents_are_run_or_marked() {
    let is_marked = |block: &CommandBlock| {
        let marker = &block.marker;
        (marker.starts_with("<!-- run") || marker.starts_with("<!-- not run: "))
            && marker.ends_with("-->")
    };
    let blocks = command_blocks();
    let unmarked = blocks
        .iter()
        .filter(|block| !is_marked(block))
        .map(|block| block.place.clone());
    assert_none(
        "command blocks without `<!-- run -->` or `<!-- not run: why -->`",
        unmarked.collect(),
    );
    assert!(
        blocks
            .iter()
            .any(|block| block.marker.starts_with("<!-- run")),
        "some commands are run"
    );
}

/// Runs a block from the root, with the built programs in `PATH`.
fn run(commands: &str) -> Output {
    let programs = tests::process::program_folder();
    let path = std::env::var("PATH").unwrap_or_default();
    // `cargo run` and `./target/release` mean the programs that are built already.
    let commands = commands.replace("cargo run -p orchestrator --", "orchestrator");
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &commands])
        .current_dir(root());
    command
        .env("PATH", format!("{}:{path}", programs.display()))
        .stdin(Stdio::null());
    command.output().expect("bash runs")
}

#[test]
fn commands_in_documents_succeed() {
    let mut failures = Vec::new();
    for block in command_blocks()
        .into_iter()
        .filter(|block| block.marker.starts_with("<!-- run"))
    {
        let output = run(&block.commands);
        if !output.status.success() {
            failures.push(format!(
                "{}: {}",
                block.place,
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    assert_none("commands that fail", failures);
}
