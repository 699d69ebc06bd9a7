//! The files of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of this project's sources.
const EXCLUDED: [&str; 4] = ["target", ".git", "node_modules", "data"];

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the workspace")
        .to_owned()
}

/// Every file, relative to the root, in order.
pub fn files() -> Vec<String> {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();

        if path.is_dir() && !EXCLUDED.contains(&name) {
            collect(&path, found);
        } else if path.is_file() {
            let relative = path
                .strip_prefix(root())
                .expect("the path is below the root");
            found.push(relative.to_str().expect("the path is UTF-8").to_owned());
        }
    }
}

/// The text of a file, or `None` if it is not UTF-8.
pub fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// Every Rust file with its text.
pub fn rust_files() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    rust.filter_map(|path| read(&path).map(|text| (path, text)))
        .collect()
}

/// Every Rust file of production code, without its unit tests: the text up to `#[cfg(test)]` before a module.
pub fn production_files() -> Vec<(String, String)> {
    let is_test = |path: &str| {
        path.starts_with("tests/")
            || path.contains("/tests/")
            || path.ends_with("/tests.rs")
            || path.contains("/examples/")
            || path.contains("/conformance/")
            || path.ends_with("/testing.rs")
    };
    let strip = |text: String| match text.find("#[cfg(test)]\nmod tests {") {
        Some(end) => text[..end].to_owned(),
        None => text,
    };
    rust_files()
        .into_iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| (path, strip(text)))
        .collect()
}
