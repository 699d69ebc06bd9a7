//! The style of the house, kept by tests: each names every place that breaks its rule.

#[path = "house/documents.rs"]
mod documents;
#[path = "house/scrub.rs"]
mod scrub;
#[path = "house/settings.rs"]
mod settings;
#[path = "house/sources.rs"]
mod sources;

use sources::{Source, root, sources};
use std::process::Command;

/// A file that is longer has two subjects.
const FILE_LINES: usize = 300;
/// A function that is longer does two things.
const FUNCTION_LINES: usize = 70;
/// What stands side by side on a screen.
const LINE_COLUMNS: usize = 120;
/// A `main.rs` reads the line and hands on.
const MAIN_LINES: usize = 60;

/// Where SQL stands.
const SQL: [&str; 4] = [
    "orchestrator/src/db/",
    "orchestrator/src/view/",
    "workers/src/ledger/",
    "workers/src/tables/",
];
/// Where rdkafka stands.
const KAFKA: [&str; 2] = ["orchestrator/src/bus/", "workers/src/bus/"];
/// What a pure crate has no use for.
const IMPURE: [&str; 4] = ["tokio", "sqlx", "rdkafka", "axum"];

fn none(what: &str, offenders: Vec<String>) {
    assert!(
        offenders.is_empty(),
        "{what}:\n  {}",
        offenders.join("\n  ")
    );
}

#[test]
fn files_are_short() {
    let long = |source: &Source| {
        let lines = source.own_lines();
        let most = if source.path.ends_with("/main.rs") && !source.test {
            MAIN_LINES
        } else {
            FILE_LINES
        };
        (lines >= most).then(|| {
            format!(
                "{}: {lines} lines without tests, fewer than {most} are allowed",
                source.path
            )
        })
    };
    none(
        "files that are too long",
        sources().iter().filter_map(long).collect(),
    );
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for source in sources() {
        for function in source
            .functions
            .iter()
            .filter(|function| function.lines >= FUNCTION_LINES)
        {
            long.push(format!(
                "{}:{}: {} has {} lines",
                source.path, function.line, function.name, function.lines
            ));
        }
    }
    none("functions that are too long", long);
}

#[test]
fn lines_are_short() {
    let mut long = Vec::new();
    for source in sources() {
        let lines = source
            .text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.chars().count()));
        // What a test expects word for word cannot be broken.
        let counts = |line: &(usize, usize)| line.1 > LINE_COLUMNS && !source.expects_text(line.0);
        long.extend(
            lines
                .filter(counts)
                .map(|(at, columns)| format!("{}:{at}: {columns} columns", source.path)),
        );
    }
    none("lines that are too long", long);
}

#[test]
fn sql_stands_in_its_four_rooms() {
    let mut found = Vec::new();
    // An example is a crate of its own in one file.
    let elsewhere = |source: &&Source| !source.within(&SQL) && !source.path.contains("/examples/");
    for source in sources().iter().filter(elsewhere) {
        for call in ["sqlx::query", "sqlx::raw_sql", "QueryBuilder", ".sql("] {
            found.extend(
                source
                    .lines_with(call)
                    .into_iter()
                    .map(|line| format!("{}:{line}: {call}", source.path)),
            );
        }
        let texts = source
            .strings
            .iter()
            .filter(|(line, text)| !source.for_tests(*line) && is_sql(text));
        found.extend(texts.map(|(line, text)| format!("{}:{line}: {text:?}", source.path)));
    }
    none("SQL outside of its rooms", found);
}

/// Whether a literal is a statement: its first words are, and something follows.
fn is_sql(text: &str) -> bool {
    let text = text.trim_start().to_lowercase();
    let begins = [
        "insert into ",
        "delete from ",
        "create table ",
        "with locked",
        "drop ",
    ];
    let pairs = [
        ("select ", " from "),
        ("update ", " set "),
        ("with ", " select "),
    ];
    begins.iter().any(|begin| text.starts_with(begin))
        || pairs
            .iter()
            .any(|(begin, then)| text.starts_with(begin) && text.contains(then))
}

#[test]
fn rdkafka_stands_in_the_two_buses() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.within(&KAFKA)) {
        found.extend(
            source
                .lines_with("rdkafka")
                .into_iter()
                .map(|line| format!("{}:{line}", source.path)),
        );
    }
    none("rdkafka outside of its rooms", found);
}

#[test]
fn backoff_is_used_by_saga_retry_only() {
    let found = sources()
        .into_iter()
        .filter(|source| !source.path.starts_with("workers/retry/src/"))
        .filter(|source| !source.lines_with("backoff::").is_empty())
        .map(|source| source.path)
        .collect();
    none("files outside saga-retry that use backoff", found);
}

#[test]
fn every_queue_is_bounded() {
    let mut found = Vec::new();
    for source in sources() {
        for call in ["unbounded_channel", "mpsc::unbounded", "mpsc::channel()"] {
            found.extend(
                source
                    .lines_with(call)
                    .into_iter()
                    .map(|line| format!("{}:{line}: {call}", source.path)),
            );
        }
    }
    none("queues without a limit", found);
}

#[test]
fn what_a_saga_is_and_how_it_moves_is_pure() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "tree",
        "--frozen",
        "-p",
        "workflows",
        "-e",
        "normal",
        "--prefix",
        "none",
        "-f",
        "{p}",
    ];
    let tree = Command::new(cargo)
        .current_dir(root())
        .args(arguments)
        .output()
        .expect("cargo is there");
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).expect("names are UTF-8");
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let names: Vec<String> = tree.lines().map(name).collect();
    assert!(names.iter().any(|name| name == "workflows"), "{tree}");
    none(
        "crates in workflows",
        names
            .into_iter()
            .filter(|name| IMPURE.contains(&name.as_str()))
            .collect(),
    );
}

/// The deliberate mistakes, which tests switch on, are compiled by a feature of `workflows` that no binary asks for.
#[test]
fn a_release_makes_no_mistakes_on_purpose() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "tree",
        "--frozen",
        "--workspace",
        "-e",
        "normal,build,features",
        "--prefix",
        "none",
    ];
    let tree = Command::new(cargo)
        .current_dir(root())
        .args(arguments)
        .output()
        .expect("cargo is there");
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).expect("names are UTF-8");
    let features: Vec<_> = tree
        .lines()
        .filter(|line| line.starts_with("workflows feature "))
        .collect();
    assert!(!features.is_empty(), "{tree}");
    let asked = features
        .into_iter()
        .filter(|feature| feature.contains("testing"))
        .map(str::to_owned);
    none("features of tests in a release", asked.collect());
    let macros = sources::read("workflows/src/mutation.rs").expect("the mistakes are there");
    assert!(
        macros.contains("#[cfg(not(any(test, feature = \"testing\")))]\nmacro_rules! mutant"),
        "they are compiled in"
    );
}

#[test]
fn nothing_is_left_for_later() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let mut found = Vec::new();
    for path in sources::files() {
        let text = sources::read(&path).unwrap_or_default();
        for (at, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
        {
            found.push(format!("{path}:{}: {}", at + 1, line.trim()));
        }
    }
    none("left for later", found);
}
