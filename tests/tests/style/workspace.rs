//! Crates and their dependencies, and where SQL, Kafka and retries are.

use crate::assert_none;
use crate::tree::{files, production_files, read, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The crates of this workspace that each crate may depend on. Arrows point down only.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("saga-protocol", &[]),
    ("saga-core", &["saga-protocol"]),
    ("saga-check", &["saga-core", "saga-protocol"]),
    ("saga-settings", &[]),
    ("saga-retry", &[]),
    ("saga-kafka", &["saga-protocol", "saga-retry"]),
    (
        "saga-worker",
        &["saga-kafka", "saga-protocol", "saga-retry"],
    ),
    (
        "workers",
        &[
            "saga-protocol",
            "saga-retry",
            "saga-settings",
            "saga-worker",
        ],
    ),
    ("saga-bench", &[]),
    (
        "orchestrator",
        &[
            "saga-bench",
            "saga-check",
            "saga-core",
            "saga-kafka",
            "saga-protocol",
            "saga-retry",
            "saga-settings",
            "saga-worker",
            "workers",
        ],
    ),
];

/// Crates that must not be among the dependencies, direct or not: `(crate, excluded)`.
const EXCLUDED: &[(&str, &[&str])] = &[
    (
        "saga-protocol",
        &[
            "tokio",
            "sqlx",
            "rdkafka",
            "axum",
            "cel",
            "jsonschema",
            "serde-saphyr",
        ],
    ),
    ("saga-core", &["tokio", "sqlx", "rdkafka", "axum"]),
    ("saga-check", &["tokio", "sqlx", "rdkafka", "axum"]),
    (
        "saga-kafka",
        &["sqlx", "axum", "cel", "jsonschema", "serde-saphyr", "clap"],
    ),
    (
        "saga-worker",
        &["axum", "cel", "jsonschema", "serde-saphyr", "clap"],
    ),
];

/// Folders that may contain SQL.
const SQL: [&str; 4] = [
    "orchestrator/src/db/",
    "orchestrator/src/view/",
    "workers/sdk/src/ledger/",
    "workers/shop/src/tables/",
];

/// The longest file of production code, in lines: a longer one has two subjects.
const MAX_FILE_LINES: usize = 450;

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args(arguments)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

#[test]
fn crates_depend_downwards_only() {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps", "--frozen"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("metadata is JSON");
    let allowed: BTreeMap<_, BTreeSet<_>> = DEPENDENCIES
        .iter()
        .map(|(name, allowed)| (*name, allowed.iter().copied().collect()))
        .collect();

    let mut violations = Vec::new();
    for package in metadata["packages"]
        .as_array()
        .expect("packages are listed")
    {
        let name = package["name"].as_str().expect("a package has a name");
        if name == "tests" {
            continue;
        }
        let Some(allowed) = allowed.get(name) else {
            violations.push(format!("{name} is not in the table of this test"));
            continue;
        };

        for dependency in package["dependencies"]
            .as_array()
            .expect("dependencies are listed")
        {
            // Dev-dependencies may point anywhere: they are not in any program.
            let target = dependency["name"]
                .as_str()
                .expect("a dependency has a name");
            let internal = dependency["path"].is_string() && dependency["kind"].is_null();
            if internal && !allowed.contains(target) {
                violations.push(format!("{name} → {target}"));
            }
        }
    }
    assert_none("dependencies that are not allowed", violations);
}

#[test]
fn crates_exclude_foreign_dependencies() {
    let mut violations = Vec::new();
    for (package, excluded) in EXCLUDED {
        let tree = cargo(&[
            "tree", "--frozen", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p}",
        ]);
        let names: BTreeSet<_> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert!(names.contains(package), "{tree}");

        let found = excluded.iter().filter(|name| names.contains(**name));
        violations.extend(found.map(|name| format!("{package} → {name}")));
    }
    assert_none("dependencies that a crate must not have", violations);
}

#[test]
fn features_for_tests_are_not_in_programs() {
    let tree = cargo(&[
        "tree",
        "--frozen",
        "--workspace",
        "-e",
        "normal,build,features",
        "--prefix",
        "none",
    ]);
    let features: Vec<_> = tree
        .lines()
        .filter(|line| line.starts_with("saga-core feature "))
        .collect();
    assert!(!features.is_empty(), "{tree}");

    let violations = features
        .into_iter()
        .filter(|feature| feature.contains("testing"));
    assert_none(
        "features of tests in a program",
        violations.map(str::to_owned).collect(),
    );
}

#[test]
fn sql_is_in_its_modules() {
    let is_sql = |line: &str| {
        let text = line
            .trim_start()
            .trim_start_matches(['"', 'r', '#'])
            .to_ascii_lowercase();
        let quoted = line.contains('"');
        quoted
            && ["select ", "insert into ", "update ", "delete from "]
                .iter()
                .any(|verb| text.starts_with(verb) || line.contains(&format!("\"{verb}")))
            && (line.contains(" from ") || line.contains(" into ") || line.contains(" set "))
    };
    let mut violations = Vec::new();
    for (path, text) in production_files() {
        if SQL.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//") && is_sql(line));
        violations
            .extend(lines.map(|(index, line)| format!("{path}:{}: {}", index + 1, line.trim())));
    }
    assert_none("SQL outside of its modules", violations);
}

#[test]
fn rdkafka_is_in_one_crate() {
    let outside = |path: &str| !path.starts_with("workers/kafka/");
    let uses = |text: &str| text.lines().any(|line| line.contains("rdkafka::"));
    let violations = production_files()
        .into_iter()
        .filter(|(path, text)| outside(path) && uses(text));
    assert_none(
        "rdkafka outside of saga-kafka",
        violations.map(|(path, _)| path).collect(),
    );
}

#[test]
fn backoff_is_in_one_file() {
    let uses = |text: &str| text.lines().any(|line| line.contains("backoff::"));
    let users: Vec<_> = production_files()
        .into_iter()
        .filter(|(_, text)| uses(text))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        users.len(),
        1,
        "backoff is used only for reconnecting to I/O: {users:?}"
    );
}

#[test]
fn files_have_one_subject() {
    let long = |(path, text): (String, String)| {
        let lines = text.lines().count();
        (lines > MAX_FILE_LINES).then(|| format!("{path}: {lines} lines, at most {MAX_FILE_LINES}"))
    };
    assert_none(
        "files that are too long",
        production_files().into_iter().filter_map(long).collect(),
    );
}

#[test]
fn nothing_is_marked_unfinished() {
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let mut violations = Vec::new();
    for path in files() {
        let text = read(&path).unwrap_or_default();
        let lines = text.lines().enumerate();
        let marked = lines.filter(|(_, line)| markers.iter().any(|marker| line.contains(marker)));
        violations
            .extend(marked.map(|(index, line)| format!("{path}:{}: {}", index + 1, line.trim())));
    }
    assert_none("unfinished places", violations);
}
