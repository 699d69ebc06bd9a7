//! What the documents say is so.

use crate::none;
use crate::sources::{files, read, root, sources};
use std::collections::BTreeSet;

/// The rules and the invariants, each a heading of ARCHITECTURE.md.
const RULES: [(&str, usize); 5] = [("A", 4), ("B", 7), ("C", 8), ("D", 6), ("I", 12)];

fn architecture() -> String {
    read("ARCHITECTURE.md").expect("ARCHITECTURE.md is there")
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a word is the name of a test: of a rule (`b3_…`), or a sentence of several words.
fn is_rule_test(name: &str) -> bool {
    let Some((rule, rest)) = name.split_once('_') else {
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

/// The names after `Proved by` in a paragraph.
fn proofs(paragraph: &str) -> BTreeSet<&str> {
    let after = paragraph
        .split_once("Proved by")
        .map_or("", |(_, after)| after);
    quoted(after)
        .filter(|name| !name.contains(['/', '.']))
        .collect()
}

#[test]
fn every_test_named_in_the_architecture_exists() {
    let text = architecture();
    let mut names: BTreeSet<&str> = quoted(&text).filter(|name| is_rule_test(name)).collect();
    names.extend(text.split("\n\n").flat_map(proofs));
    let exist: BTreeSet<String> = sources()
        .into_iter()
        .flat_map(|source| source.functions)
        .map(|function| function.name)
        .collect();
    let macros: Vec<String> = sources().into_iter().map(|source| source.code).collect();
    let known = |name: &&str| {
        exist.contains(*name)
            || macros
                .iter()
                .any(|code| code.contains(&format!("fn {name}(")))
    };
    none(
        "tests that do not exist",
        names
            .iter()
            .filter(|name| !known(name))
            .map(|name| (*name).to_owned())
            .collect(),
    );
    assert!(
        names.len() > 60,
        "the architecture names tests: {}",
        names.len()
    );
}

#[test]
fn every_rule_is_proved_or_listed_as_not_yet_proved() {
    let text = architecture();
    let (_, open) = text
        .split_once("## Not proved yet")
        .expect("the section is there");
    let open = open.split("\n## ").next().unwrap_or_default();
    let mut missing = Vec::new();
    for (letter, most) in RULES {
        for rule in (1..=most).map(|number| format!("**{letter}{number}")) {
            let paragraph = text
                .split("\n\n")
                .find(|paragraph| paragraph.starts_with(&format!("{rule} ")));
            let proved = paragraph.is_some_and(|paragraph| !proofs(paragraph).is_empty());
            let listed = open.contains(&format!("{rule}**"));
            if paragraph.is_none() || !proved && !listed {
                missing.push(rule.trim_start_matches('*').to_owned());
            }
        }
    }
    none(
        "rules that are neither proved nor listed under \"Not proved yet\"",
        missing,
    );
}

/// A path of the tree, as documents write it.
fn looks_like_a_path(word: &str) -> bool {
    let folders = [
        "workflows/",
        "orchestrator/",
        "workers/",
        "tests/",
        "migrations/",
        ".ci/",
        ".github/",
    ];
    folders.iter().any(|folder| word.starts_with(folder))
        && !word.contains([' ', '*', '<', '{', '…'])
}

#[test]
fn every_path_named_in_a_document_exists() {
    let mut missing = Vec::new();
    for document in files().into_iter().filter(|path| path.ends_with(".md")) {
        let text = read(&document).unwrap_or_default();
        let paths =
            quoted(&text).filter(|word| looks_like_a_path(word) && !root().join(word).exists());
        missing.extend(paths.map(|path| format!("{document}: {path}")));
    }
    none("paths that do not exist", missing);
}

/// The name of a document, as `ARCHITECTURE.md` is one.
fn is_document(word: &str) -> bool {
    word.strip_suffix(".md")
        .is_some_and(|stem| !stem.is_empty() && stem.chars().all(|c| c.is_ascii_uppercase()))
}

#[test]
fn every_document_named_in_the_tree_is_in_the_tree() {
    let all = files();
    let mut missing = Vec::new();
    for path in all.iter().filter(|path| {
        [".rs", ".sql", ".toml", ".md"]
            .iter()
            .any(|end| path.ends_with(end))
    }) {
        let text = read(path).unwrap_or_default();
        for (at, line) in text.lines().enumerate() {
            let words = line.split(|c: char| !(c.is_alphanumeric() || "_-./".contains(c)));
            let documents = words
                .map(|word| word.trim_end_matches('.'))
                .filter(|word| is_document(word));
            let gone = documents.filter(|word| {
                !all.iter()
                    .any(|path| path == word || path.ends_with(&format!("/{word}")))
            });
            missing.extend(gone.map(|word| format!("{path}:{}: {word}", at + 1)));
        }
    }
    none("documents that do not exist", missing);
}
