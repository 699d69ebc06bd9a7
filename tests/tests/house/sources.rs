//! The files of the workspace, and what of each is for tests only.

use crate::scrub::{self, Function, Scrubbed};
use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file.
pub struct Source {
    /// From the workspace's root.
    pub path: String,
    /// As it is.
    pub text: String,
    /// Without comments and literals.
    pub code: String,
    /// String literals, each with its line.
    pub strings: Vec<(usize, String)>,
    /// Its functions.
    pub functions: Vec<Function>,
    /// The whole file is for tests.
    pub test: bool,
    /// First and last lines of items that are for tests.
    test_lines: Vec<(usize, usize)>,
    /// Modules in files of their own that are for tests.
    test_modules: Vec<String>,
}

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 4] = ["target", ".git", "node_modules", "data"];

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate stands in the workspace")
        .to_owned()
}

/// Every file of the tree, from the root.
pub fn files() -> Vec<String> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    found
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder of ours can be read") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() && !FOREIGN.contains(&name) {
            walk(&path, found);
        } else if path.is_file() {
            let path = path.strip_prefix(root()).expect("below the root");
            found.push(path.to_str().expect("a name in UTF-8").to_owned());
        }
    }
}

/// A text file; `None`: it is none.
pub fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// All Rust files.
pub fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    let mut sources: Vec<Source> = rust.map(source).collect();
    let modules: Vec<String> = sources.iter().flat_map(declared_for_tests).collect();
    for source in &mut sources {
        let path = source.path.as_str();
        source.test |= modules.iter().any(|module| {
            path.strip_prefix(module.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
    }
    sources
}

fn source(path: String) -> Source {
    let text = read(&path).expect("Rust is text");
    let Scrubbed { code, strings } = scrub::scrub(&text);
    let (test_lines, test_modules) = scrub::tests_of(&code);
    let functions = scrub::functions(&code);
    let test = path.starts_with("tests/") || path.split('/').nth(1) == Some("tests");
    Source {
        path,
        text,
        code,
        strings,
        functions,
        test,
        test_lines,
        test_modules,
    }
}

/// Where the modules stand that this file declares for tests: paths without `.rs`.
fn declared_for_tests(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let own = match file {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        other => format!("{folder}/{}", other.trim_end_matches(".rs")),
    };
    source
        .test_modules
        .iter()
        .map(|module| format!("{own}/{module}"))
        .collect()
}

impl Source {
    /// Whether that line (from 1) is for tests only.
    pub fn for_tests(&self, line: usize) -> bool {
        self.test
            || self
                .test_lines
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&line))
    }

    /// Whether a literal of a test stands on that line.
    pub fn expects_text(&self, line: usize) -> bool {
        let on = |(first, text): &(usize, String)| {
            (*first..=*first + text.matches('\n').count()).contains(&line)
        };
        self.for_tests(line) && self.strings.iter().any(on)
    }

    /// How many lines are not for tests.
    pub fn own_lines(&self) -> usize {
        (1..=self.text.lines().count())
            .filter(|line| !self.for_tests(*line))
            .count()
    }

    /// Lines of code, not for tests, in which `what` stands.
    pub fn lines_with(&self, what: &str) -> Vec<usize> {
        let lines = self
            .code
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line));
        lines
            .filter(|(at, line)| line.contains(what) && !self.for_tests(*at))
            .map(|(at, _)| at)
            .collect()
    }

    /// Whether it stands in one of these folders.
    pub fn within(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }
}
